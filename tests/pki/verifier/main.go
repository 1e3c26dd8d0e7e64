// Copyright (c) 2026 The Kubeharden Authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Verifier is Go's verdict on certificates: what Kubernetes and etcd, which are written in Go, will say of them.
//
//	verifier check <cases.json   answers each case with an empty string or with Go's error
//	verifier mint DIRECTORY ALGORITHM   writes the authorities and leaves of a control plane as kubeadm makes them
package main

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// Case is one question. Kind "server" and "client" are handshakes in which the certificate is presented; "verify" only
// builds its chain; "bundle" reads Roots as client-go reads a file of authorities.
type Case struct {
	ID          string `json:"id"`
	Kind        string `json:"kind"`
	Certificate string `json:"certificate"`
	Key         string `json:"key"`
	Roots       string `json:"roots"`
	Name        string `json:"name"`
	Usage       string `json:"usage"`
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == "check" {
		check()
	} else if len(os.Args) == 4 && os.Args[1] == "mint" {
		fail(mint(os.Args[2], os.Args[3]))
	} else {
		fail(errors.New("usage: verifier check | verifier mint DIRECTORY ALGORITHM"))
	}
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func check() {
	var cases []Case
	fail(json.NewDecoder(os.Stdin).Decode(&cases))
	answers := map[string]string{"go": runtime.Version()}
	for _, one := range cases {
		answers[one.ID] = ""
		if err := verdict(one); err != nil {
			answers[one.ID] = err.Error()
		}
	}
	fail(json.NewEncoder(os.Stdout).Encode(answers))
}

func verdict(one Case) error {
	roots, err := parseBundle([]byte(one.Roots))
	if err != nil || one.Kind == "bundle" {
		return err
	}
	pool := x509.NewCertPool()
	for _, root := range roots {
		pool.AddCert(root)
	}
	if one.Kind == "verify" {
		return verify(one, pool)
	}
	pair, err := tls.X509KeyPair([]byte(one.Certificate), []byte(one.Key))
	if err != nil {
		return err
	}
	if one.Kind == "server" {
		server := &tls.Config{Certificates: []tls.Certificate{pair}}
		return handshake(server, &tls.Config{RootCAs: pool, ServerName: one.Name})
	}
	return dial(pair, pool)
}

func verify(one Case, pool *x509.CertPool) error {
	chain, err := parseBundle([]byte(one.Certificate))
	if err != nil {
		return err
	}
	intermediates := x509.NewCertPool()
	for _, certificate := range chain[1:] {
		intermediates.AddCert(certificate)
	}
	usage := map[string]x509.ExtKeyUsage{"server": x509.ExtKeyUsageServerAuth, "client": x509.ExtKeyUsageClientAuth}[one.Usage]
	_, err = chain[0].Verify(x509.VerifyOptions{
		Roots: pool, Intermediates: intermediates, DNSName: one.Name, KeyUsages: []x509.ExtKeyUsage{usage},
	})
	return err
}

// parseBundle does what k8s.io/client-go/util/cert.ParseCertsPEM does.
func parseBundle(data []byte) ([]*x509.Certificate, error) {
	var found []*x509.Certificate
	for len(data) > 0 {
		var block *pem.Block
		block, data = pem.Decode(data)
		if block == nil {
			break
		}
		if block.Type != "CERTIFICATE" || len(block.Headers) != 0 {
			continue
		}
		certificates, err := x509.ParseCertificates(block.Bytes)
		if err != nil {
			return nil, err
		}
		found = append(found, certificates...)
	}
	if len(found) == 0 {
		return nil, errors.New("data does not contain any valid RSA or ECDSA certificates")
	}
	return found, nil
}

// dial presents the pair as a client to a server that trusts the pool, as an API server does with --client-ca-file.
func dial(pair tls.Certificate, pool *x509.CertPool) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"server"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	own, err := x509.ParseCertificate(der)
	if err != nil {
		return err
	}
	trusted := x509.NewCertPool()
	trusted.AddCert(own)
	server := &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: pool,
	}
	// GetClientCertificate sends the certificate whatever authorities the server names.
	client := &tls.Config{
		RootCAs: trusted, ServerName: "server",
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil },
	}
	return handshake(server, client)
}

// handshake answers with the error of the side that verifies. It runs over the loopback device: a net.Pipe has no buffer, so
// that two sides which both send an alert would wait for each other.
func handshake(server, client *tls.Config) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer listener.Close()
	deadline := time.Now().Add(10 * time.Second)
	answer := make(chan error, 1)
	go func() {
		one, err := listener.Accept()
		if err == nil {
			defer one.Close()
			_ = one.SetDeadline(deadline)
			connection := tls.Server(one, server)
			if err = connection.Handshake(); err == nil {
				_, err = connection.Write([]byte{1})
			}
		}
		answer <- err
	}()
	other, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		return err
	}
	_ = other.SetDeadline(deadline)
	connection := tls.Client(other, client)
	if err = connection.Handshake(); err == nil {
		_, err = connection.Read(make([]byte, 1))
	}
	other.Close()
	serverError := <-answer
	if server.ClientAuth != tls.NoClientCert && serverError != nil {
		return serverError
	}
	return err
}

// mint follows kubeadm 1.37.1: cmd/kubeadm/app/util/pkiutil/pki_helpers.go, NewSelfSignedCACert and NewSignedCert.
func mint(directory, algorithm string) error {
	node := "cp1"
	address := net.IPv4(192, 0, 2, 10)
	etcdNames := []string{node, "localhost"}
	etcdAddresses := []net.IP{address, net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	both := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	clientOnly := both[1:]
	authorities := []struct {
		path, name string
		leaves     []leaf
	}{
		{"ca", "kubernetes", []leaf{
			{"apiserver", pkix.Name{CommonName: "kube-apiserver"}, both[:1], []string{
				node, "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
			}, []net.IP{net.IPv4(10, 96, 0, 1), address}},
			{"apiserver-kubelet-client", pkix.Name{CommonName: "kube-apiserver-kubelet-client"}, clientOnly, nil, nil},
		}},
		{"etcd/ca", "etcd-ca", []leaf{
			{"apiserver-etcd-client", pkix.Name{CommonName: "kube-apiserver-etcd-client"}, clientOnly, nil, nil},
			{"etcd/server", pkix.Name{CommonName: node}, both, etcdNames, etcdAddresses},
			{"etcd/peer", pkix.Name{CommonName: node}, both, etcdNames, etcdAddresses},
			{"etcd/healthcheck-client", pkix.Name{CommonName: "kube-etcd-healthcheck-client"}, clientOnly, nil, nil},
		}},
		{"front-proxy-ca", "front-proxy-ca", []leaf{
			{"front-proxy-client", pkix.Name{CommonName: "front-proxy-client"}, clientOnly, nil, nil},
		}},
	}
	if err := os.MkdirAll(filepath.Join(directory, "etcd"), 0o700); err != nil {
		return err
	}
	start := time.Now().UTC().Add(-5 * time.Minute)
	for _, authority := range authorities {
		template := &x509.Certificate{
			Subject: pkix.Name{CommonName: authority.name}, DNSNames: []string{authority.name},
			KeyUsage: x509.KeyUsageKeyEncipherment | x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
			IsCA:     true, NotBefore: start, NotAfter: start.AddDate(10, 0, 0),
		}
		certificate, key, err := sign(template, nil, nil, algorithm, filepath.Join(directory, authority.path))
		if err != nil {
			return err
		}
		for _, one := range authority.leaves {
			template := &x509.Certificate{
				Subject: one.subject, DNSNames: one.names, IPAddresses: one.addresses, ExtKeyUsage: one.usages,
				KeyUsage:  x509.KeyUsageKeyEncipherment | x509.KeyUsageDigitalSignature,
				NotBefore: start, NotAfter: start.AddDate(1, 0, 0),
			}
			if _, _, err := sign(template, certificate, key, algorithm, filepath.Join(directory, one.path)); err != nil {
				return err
			}
		}
	}
	return nil
}

type leaf struct {
	path      string
	subject   pkix.Name
	usages    []x509.ExtKeyUsage
	names     []string
	addresses []net.IP
}

func sign(
	template, parent *x509.Certificate, parentKey crypto.Signer, algorithm, path string,
) (*x509.Certificate, crypto.Signer, error) {
	key, block, err := newKey(algorithm)
	if err != nil {
		return nil, nil, err
	}
	if parent == nil {
		parent, parentKey = template, key
	}
	template.BasicConstraintsValid = true
	if template.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(math.MaxInt64)); err != nil {
		return nil, nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		return nil, nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, err
	}
	if err := write(path+".key", block); err != nil {
		return nil, nil, err
	}
	return certificate, key, write(path+".crt", &pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func newKey(algorithm string) (crypto.Signer, *pem.Block, error) {
	switch algorithm {
	case "RSA-2048":
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return nil, nil, err
		}
		return key, &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}, nil
	case "ECDSA-P256":
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, nil, err
		}
		der, err := x509.MarshalECPrivateKey(key)
		return key, &pem.Block{Type: "EC PRIVATE KEY", Bytes: der}, err
	}
	return nil, nil, fmt.Errorf("unknown algorithm %q", algorithm)
}

func write(path string, block *pem.Block) error {
	var buffer bytes.Buffer
	if err := pem.Encode(&buffer, block); err != nil {
		return err
	}
	return os.WriteFile(path, buffer.Bytes(), 0o600)
}
