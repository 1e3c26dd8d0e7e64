// Copyright (c) 2026 The Kubeharden Authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Command kubelet writes what the kubelet knows.
package main

import (
	"log"

	"github.com/spf13/pflag"

	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/kubernetes/cmd/kubelet/app/options"
	"k8s.io/kubernetes/pkg/kubelet/apis/config/scheme"
	_ "k8s.io/kubernetes/pkg/kubelet/cadvisor" // sets defaults of cAdvisor's flags

	"kubeharden.invalid/flagtable/kubernetes/dump"
)

func main() {
	found, err := kubelet()
	if err != nil {
		log.Fatal(err)
	}
	if err := found.Write(); err != nil {
		log.Fatal(err)
	}
}

// kubelet makes the flag set as NewKubeletCommand does, which keeps its own out of reach.
func kubelet() (*dump.Component, error) {
	if err := dump.LoggingGates(); err != nil {
		return nil, err
	}
	if err := dump.MetricsGates(); err != nil {
		return nil, err
	}
	set := pflag.NewFlagSet("kubelet", pflag.ContinueOnError)
	set.SetNormalizeFunc(cliflag.WordSepNormalizeFunc)
	configuration, err := options.NewKubeletConfiguration()
	if err != nil {
		return nil, err
	}
	options.NewKubeletFlags().AddFlags(set)
	options.AddKubeletConfigFlags(set, configuration)
	options.AddGlobalFlags(set)
	set.BoolP("help", "h", false, "help for kubelet")
	known, _, err := scheme.NewSchemeAndCodecs()
	if err != nil {
		return nil, err
	}
	found := dump.New("kubelet", set)
	return found, found.AddFields(known, "kubelet.config.k8s.io", "KubeletConfiguration")
}
