// Copyright (c) 2026 The Kubeharden Authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Command kube-apiserver writes what kube-apiserver knows.
package main

import (
	"log"

	"k8s.io/apimachinery/pkg/runtime"
	apiserverinstall "k8s.io/apiserver/pkg/apis/apiserver/install"
	serveroptions "k8s.io/kubernetes/cmd/kube-apiserver/app/options"
	"k8s.io/kubernetes/pkg/kubeapiserver/options"
	eventratelimitinstall "k8s.io/kubernetes/plugin/pkg/admission/eventratelimit/apis/eventratelimit/install"
	podsecurityscheme "k8s.io/pod-security-admission/admission/api/scheme"

	"kubeharden.invalid/flagtable/kubernetes/dump"
)

func main() {
	if err := dump.LoggingGates(); err != nil {
		log.Fatal(err)
	}
	named := serveroptions.NewServerRunOptions().Flags()
	addCustom(named.FlagSet("generic"))
	found := dump.New("kube-apiserver", dump.Set("kube-apiserver", named))
	found.Plugins = plugins()
	if err := addFields(found); err != nil {
		log.Fatal(err)
	}
	if err := found.Write(); err != nil {
		log.Fatal(err)
	}
}

func plugins() map[string]dump.Plugin {
	admission := options.NewAdmissionOptions().GenericAdmission
	known := map[string]dump.Plugin{}
	for _, name := range admission.Plugins.Registered() {
		known[name] = dump.Plugin{Default: !admission.DefaultOffPlugins.Has(name)}
	}
	return known
}

func addFields(found *dump.Component) error {
	scheme := runtime.NewScheme()
	apiserverinstall.Install(scheme)
	eventratelimitinstall.Install(scheme)
	err := found.AddFields(scheme, "apiserver.config.k8s.io",
		"AdmissionConfiguration", "AuthenticationConfiguration", "AuthorizationConfiguration")
	if err != nil {
		return err
	}
	if err := found.AddFields(scheme, "eventratelimit.admission.k8s.io", "Configuration"); err != nil {
		return err
	}
	return found.AddFields(podsecurityscheme.Scheme, "pod-security.admission.config.k8s.io", "PodSecurityConfiguration")
}
