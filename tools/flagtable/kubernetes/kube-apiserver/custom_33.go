//go:build minor33

// Copyright (c) 2026 The Kubeharden Authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import (
	"github.com/spf13/pflag"

	"k8s.io/kubernetes/cmd/kube-apiserver/app/options"
)

// addCustom adds what the command of 1.33 adds to its options.
func addCustom(set *pflag.FlagSet) {
	options.AddCustomGlobalFlags(set)
}
