// Copyright (c) 2026 The Kubeharden Authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Command kube-proxy writes what kube-proxy knows.
package main

import (
	"log"

	"k8s.io/kubernetes/cmd/kube-proxy/app"
	"k8s.io/kubernetes/pkg/proxy/apis/config/scheme"

	"kubeharden.invalid/flagtable/kubernetes/dump"
)

func main() {
	command := app.NewProxyCommand()
	command.InitDefaultHelpFlag()
	found := dump.New("kube-proxy", command.Flags())
	if err := found.AddFields(scheme.Scheme, "kubeproxy.config.k8s.io", "KubeProxyConfiguration"); err != nil {
		log.Fatal(err)
	}
	if err := found.Write(); err != nil {
		log.Fatal(err)
	}
}
