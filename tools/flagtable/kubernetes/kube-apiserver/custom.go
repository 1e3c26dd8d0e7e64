//go:build !minor33

// Copyright (c) 2026 The Kubeharden Authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

package main

import "github.com/spf13/pflag"

// addCustom: from 1.34 on the options have every flag of the command.
func addCustom(*pflag.FlagSet) {}
