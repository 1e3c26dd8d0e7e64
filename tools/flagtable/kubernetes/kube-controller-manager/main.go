// Copyright (c) 2026 The Kubeharden Authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Command kube-controller-manager writes what kube-controller-manager knows.
package main

import (
	"log"

	"k8s.io/kubernetes/cmd/kube-controller-manager/app/options"

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
	known, err := options.NewKubeControllerManagerOptions()
	if err != nil {
		return err
	}
	// The names of controllers are part of a flag's description only.
	named := known.Flags(nil, nil, nil)
	return dump.New("kube-controller-manager", dump.Set("kube-controller-manager", named)).Write()
}
