// Copyright (c) 2026 The Kubeharden Authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Command kube-scheduler writes what kube-scheduler knows.
package main

import (
	"log"

	"k8s.io/kubernetes/cmd/kube-scheduler/app/options"

	"kubeharden.invalid/flagtable/kubernetes/dump"
)

func main() {
	if err := write(); err != nil {
		log.Fatal(err)
	}
}

func write() error {
	if err := dump.LoggingGates(); err != nil {
		return err
	}
	if err := dump.MetricsGates(); err != nil {
		return err
	}
	named := *options.NewOptions().Flags
	return dump.New("kube-scheduler", dump.Set("kube-scheduler", named)).Write()
}
