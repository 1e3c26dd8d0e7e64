// Copyright (c) 2026 The Kubeharden Authors
// SPDX-License-Identifier: GPL-3.0-or-later

// Command probe is what runs in the lab's test pods.
//
//	probe serve          answers every HTTP request on :8080 with the pod's name
//	probe poll OBJECT    gets OBJECT (such as api/v1/namespaces/default) from the API through the Service every 100 ms,
//	                     with the mounted token over kept connections, and writes one line for each answer
//	probe get URL        gets one URL and writes the body; the exit code is 1 when the status is not 200
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

const (
	account  = "/var/run/secrets/kubernetes.io/serviceaccount/"
	limit    = 5 * time.Second
	interval = 100 * time.Millisecond
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, arguments []string) error {
	switch {
	case len(arguments) == 1 && arguments[0] == "serve":
		return serve(ctx)
	case len(arguments) == 2 && arguments[0] == "poll":
		return poll(ctx, arguments[1])
	case len(arguments) == 2 && arguments[0] == "get":
		return fetch(ctx, &http.Client{Timeout: limit}, arguments[1], "", os.Stdout)
	}
	return errors.New("usage: probe serve | poll OBJECT | get URL")
}

func serve(ctx context.Context) error {
	name, err := os.Hostname()
	if err != nil {
		return err
	}
	server := &http.Server{Addr: ":8080", ReadHeaderTimeout: limit}
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, name) })
	go func() {
		<-ctx.Done()
		server.Close()
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func poll(ctx context.Context, object string) error {
	authority, err := os.ReadFile(account + "ca.crt")
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authority) {
		return errors.New("no certificate in " + account + "ca.crt")
	}
	client := &http.Client{Timeout: limit, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	address := net.JoinHostPort(os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT"))
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for ctx.Err() == nil {
		// The kubelet renews the mounted token.
		token, err := os.ReadFile(account + "token")
		started := time.Now()
		if err == nil {
			err = fetch(ctx, client, "https://"+address+"/"+object, strings.TrimSpace(string(token)), io.Discard)
		}
		word := "ok"
		if err != nil {
			word = "failed " + strings.ReplaceAll(err.Error(), "\n", " ")
		}
		fmt.Printf("%.3f %.3f %s\n", float64(started.UnixMilli())/1000, time.Since(started).Seconds(), word)
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
	return nil
}

func fetch(ctx context.Context, client *http.Client, url, token string, body io.Writer) error {
	// A request that is under way when the pod is told to end may end by itself.
	request, err := http.NewRequestWithContext(context.WithoutCancel(ctx), http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(body, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return errors.New("status " + response.Status)
	}
	return nil
}
