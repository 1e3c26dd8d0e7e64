// Copyright (c) 2026 The Kubeharden Authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Command etcd writes what etcd knows: its flags and feature gates, as JSON on standard output. It needs
// what lies in added/ in etcd's package etcdmain; make_tables.py sees to that.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"reflect"
	"strings"

	"go.etcd.io/etcd/pkg/v3/flags"
	"go.etcd.io/etcd/server/v3/etcdmain"
)

// entry is one flag. Values are the words that it takes, where there is a closed list of them.
type entry struct {
	Type       string   `json:"type"`
	Default    string   `json:"default"`
	Bare       bool     `json:"bare,omitempty"`
	Deprecated bool     `json:"deprecated,omitempty"`
	Hidden     bool     `json:"hidden,omitempty"`
	Repeat     string   `json:"repeat,omitempty"`
	Values     []string `json:"values,omitempty"`
}

type component struct {
	Component string                        `json:"component"`
	Flags     map[string]entry              `json:"flags"`
	Gates     map[string]etcdmain.TableGate `json:"gates"`
}

// types says what Go's own and etcd's kinds of flag take.
var types = map[string]string{
	"*flag.boolValue":              "bool",
	"*flag.intValue":               "int",
	"*flag.int64Value":             "int64",
	"*flag.uintValue":              "uint",
	"*flag.uint64Value":            "uint64",
	"*flag.float64Value":           "float64",
	"*flag.stringValue":            "string",
	"*flag.durationValue":          "duration",
	"*flags.uint32Value":           "uint32",
	"*flags.StringsValue":          "stringSlice",
	"*flags.UniqueStringsValue":    "stringSlice",
	"*flags.UniqueURLs":            "stringSlice",
	"*flags.SelectiveStringValue":  "string",
	"*flags.SelectiveStringsValue": "string",
	"*flags.IgnoredFlag":           "ignored",
	"*featuregate.featureGate":     "mapStringBool",
}

// samples are two values that a flag of a type takes, each with a word that can be found again.
var samples = map[string][2]string{
	"*flags.StringsValue":       {"first", "second"},
	"*flags.UniqueStringsValue": {"first", "second"},
	"*flags.UniqueURLs":         {"http://127.0.0.1:1", "http://127.0.0.1:2"},
}

func main() {
	found := component{Component: "etcd", Flags: map[string]entry{}, Gates: etcdmain.TableGates()}
	etcdmain.TableFlags().VisitAll(func(one *flag.Flag) { found.Flags[one.Name] = read(one) })
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(found); err != nil {
		log.Fatal(err)
	}
}

func read(one *flag.Flag) entry {
	typ := reflect.TypeOf(one.Value).String()
	name, known := types[typ]
	if !known {
		panic(fmt.Sprintf("what is a %s (--%s) to be called?", typ, one.Name))
	}
	found := entry{Type: name, Default: one.DefValue, Repeat: repeat(one, samples[typ])}
	if boolean, is := one.Value.(interface{ IsBoolFlag() bool }); is {
		found.Bare = boolean.IsBoolFlag()
	}
	if choice, is := one.Value.(*flags.SelectiveStringValue); is {
		found.Values = choice.Valids()
	}
	found.Deprecated = strings.Contains(strings.ToLower(one.Usage), "deprecated")
	found.Hidden = name == "ignored"
	return found
}

// repeat tells whether a second occurrence of a flag leaves the first one standing.
func repeat(one *flag.Flag, sample [2]string) string {
	if sample[0] == "" {
		return ""
	}
	for _, value := range sample {
		if err := one.Value.Set(value); err != nil {
			panic(fmt.Sprintf("--%s=%s: %v", one.Name, value, err))
		}
	}
	if strings.Contains(one.Value.String(), sample[0]) {
		return "all"
	}
	return ""
}
