// Copyright (c) 2026 The Kubeharden Authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Package dump writes what one component of Kubernetes knows: its flags, feature gates, admission plugins and the fields
// of its configuration files, as JSON on standard output. make_tables.py puts these answers together.
package dump

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"

	"github.com/spf13/pflag"

	"k8s.io/apimachinery/pkg/runtime"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	cliflag "k8s.io/component-base/cli/flag"
	"k8s.io/component-base/cli/globalflag"
	"k8s.io/component-base/logs"
	logsapi "k8s.io/component-base/logs/api/v1"
	_ "k8s.io/component-base/logs/json/register" // its flags come with the log format, as in the components' programs
	metricsfeatures "k8s.io/component-base/metrics/features"
	"k8s.io/component-base/version/verflag"
)

// Flag is one flag as pflag holds it. Repeat is "all" where a second occurrence leaves the first one standing, and
// empty where the last one wins. Values are the words that it takes, where there is a closed list of them.
type Flag struct {
	Type       string   `json:"type"`
	Default    string   `json:"default"`
	Bare       bool     `json:"bare,omitempty"`
	Deprecated bool     `json:"deprecated,omitempty"`
	Hidden     bool     `json:"hidden,omitempty"`
	Shorthand  string   `json:"shorthand,omitempty"`
	Repeat     string   `json:"repeat,omitempty"`
	Values     []string `json:"values,omitempty"`
}

// Gate is one feature gate at the version's own compatibility level.
type Gate struct {
	Default bool   `json:"default"`
	Stage   string `json:"stage"`
	Locked  bool   `json:"locked,omitempty"`
}

// Plugin is one admission plugin.
type Plugin struct {
	Default bool `json:"default"`
}

// Field is one field of a configuration file; Default is what an empty file comes to, nil where that is nothing.
type Field struct {
	Type    string `json:"type"`
	Default any    `json:"default,omitempty"`
}

// Component is everything about one component. Fields are keyed by "group/version Kind", then by path.
type Component struct {
	Component string                      `json:"component"`
	Flags     map[string]Flag             `json:"flags"`
	Gates     map[string]Gate             `json:"gates"`
	Plugins   map[string]Plugin           `json:"plugins,omitempty"`
	Fields    map[string]map[string]Field `json:"fields,omitempty"`
}

// Set puts a component's named flag sets together as its command does (New...Command in k8s.io/kubernetes/cmd).
func Set(component string, named cliflag.NamedFlagSets) *pflag.FlagSet {
	verflag.AddFlags(named.FlagSet("global"))
	globalflag.AddGlobalFlags(named.FlagSet("global"), component, logs.SkipLoggingConfigurationFlags())
	set := pflag.NewFlagSet(component, pflag.ContinueOnError)
	for _, one := range named.FlagSets {
		set.AddFlagSet(one)
	}
	return set
}

// LoggingGates registers the feature gates that the command of every component adds to those of its options.
func LoggingGates() error {
	return logsapi.AddFeatureGates(utilfeature.DefaultMutableFeatureGate)
}

// MetricsGates registers the feature gates that the commands of all components but kube-apiserver add.
func MetricsGates() error {
	return metricsfeatures.AddFeatureGates(utilfeature.DefaultMutableFeatureGate)
}

// New reads the flags of a set, and the feature gates that this program has registered.
func New(component string, set *pflag.FlagSet) *Component {
	found := &Component{Component: component, Flags: map[string]Flag{}, Gates: map[string]Gate{}}
	set.SetNormalizeFunc(cliflag.WordSepNormalizeFunc) // as component-base's cli.Run does
	set.VisitAll(func(flag *pflag.Flag) {
		found.Flags[flag.Name] = Flag{
			Type:       flag.Value.Type(),
			Default:    flag.DefValue,
			Bare:       flag.NoOptDefVal != "",
			Deprecated: flag.Deprecated != "" || strings.Contains(flag.Usage, "DEPRECATED"),
			Hidden:     flag.Hidden,
			Shorthand:  flag.Shorthand,
			Repeat:     repeat(flag),
			Values:     values(flag.Name),
		}
	})
	for name, spec := range utilfeature.DefaultMutableFeatureGate.GetAll() {
		stage := string(spec.PreRelease)
		if stage == "" {
			stage = "GA"
		}
		found.Gates[string(name)] = Gate{Default: spec.Default, Stage: stage, Locked: spec.LockToDefault}
	}
	return found
}

// sample is two values for a flag, and the word of the first one that is looked for after the second was set.
type sample struct{ first, second, word string }

// samples are values that flags of a type take that is no scalar; a scalar's last value wins.
var samples = map[string][]sample{
	"[]v1.Taint":                         {{"first=1:NoSchedule", "second=1:NoSchedule", "first"}},
	"colonSeparatedMultimapStringString": {{"kube:first=true", "kube:second=true", "first"}},
	"int32Slice":                         {{"101", "102", "101"}},
	"mapStringBool":                      {{"first=true", "second=true", "first"}},
	"mapStringString":                    {{"first=1", "second=2", "first"}, {"first<1", "second<2", "first"}},
	"namedCertKey":                       {{"first,key", "second,key", "first"}},
	"pattern=N,...":                      {{"first=1", "second=2", "first"}},
	"reserved-memory":                    {{"0:memory=101Mi", "1:memory=102Mi", "101Mi"}},
	"stringArray":                        {{"first", "second", "first"}},
	"stringSlice":                        {{"first", "second", "first"}},
	"stringToString":                     {{"first=1", "second=2", "first"}},
}

// repeat tells whether a second occurrence of a flag leaves the first one standing. It changes the flag's value.
func repeat(flag *pflag.Flag) string {
	known := samples[flag.Value.Type()]
	for _, one := range known {
		if flag.Value.Set(one.first) != nil {
			continue
		}
		if !strings.Contains(flag.Value.String(), one.word) {
			panic(fmt.Sprintf("--%s: %s is not to be found in %s", flag.Name, one.word, flag.Value))
		}
		if err := flag.Value.Set(one.second); err != nil {
			panic(fmt.Sprintf("--%s=%s: %v", flag.Name, one.second, err))
		}
		if strings.Contains(flag.Value.String(), one.word) {
			return "all"
		}
		return ""
	}
	if known != nil {
		panic(fmt.Sprintf("no sample for --%s of type %s", flag.Name, flag.Value.Type()))
	}
	return ""
}

// values is the closed list of words that a flag takes, nil for those whose words stand in no list that can be read.
func values(flag string) []string {
	switch flag {
	case "tls-min-version":
		return cliflag.TLSPossibleVersions()
	case "tls-cipher-suites":
		return cliflag.TLSCipherPossibleValues()
	}
	return nil
}

// Write puts the component on standard output.
func (found *Component) Write() error {
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(found)
}

// AddFields adds the fields of every external version of these kinds that a scheme knows.
func (found *Component) AddFields(scheme *runtime.Scheme, group string, kinds ...string) error {
	if found.Fields == nil {
		found.Fields = map[string]map[string]Field{}
	}
	seen := map[string]bool{}
	for kind, typ := range scheme.AllKnownTypes() {
		if kind.Group != group || kind.Version == runtime.APIVersionInternal || !contains(kinds, kind.Kind) {
			continue
		}
		seen[kind.Kind] = true
		fields := map[string]Field{}
		walk(typ, "", fields)
		empty, err := scheme.New(kind)
		if err != nil {
			return err
		}
		scheme.Default(empty)
		if err := addDefaults(empty, fields); err != nil {
			return err
		}
		found.Fields[kind.GroupVersion().String()+" "+kind.Kind] = fields
	}
	for _, kind := range kinds {
		if !seen[kind] {
			return fmt.Errorf("no version of %s in group %s", kind, group)
		}
	}
	return nil
}

func contains(words []string, word string) bool {
	for _, one := range words {
		if one == word {
			return true
		}
	}
	return false
}

// scalars are types that are written as one value though Go has a struct for them.
var scalars = map[string]string{
	"v1.Duration":            "duration",
	"resource.Quantity":      "quantity",
	"resource.QuantityValue": "quantity",
	"v1.TimeOrMetaDuration":  "duration",
	"v1.Time":                "time",
	"v1.MicroTime":           "time",
	"intstr.IntOrString":     "int or string",
	"runtime.RawExtension":   "any",
	"runtime.Unknown":        "any",
}

func walk(typ reflect.Type, prefix string, fields map[string]Field) {
	for i := 0; i < typ.NumField(); i++ {
		field := typ.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "-" || !field.IsExported() && !field.Anonymous {
			continue
		}
		inner := field.Type
		for inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		if name == "" && field.Anonymous {
			walk(inner, prefix, fields)
			continue
		}
		if name == "" {
			name = field.Name
		}
		add(inner, prefix+name, fields)
	}
}

func add(typ reflect.Type, path string, fields map[string]Field) {
	if inner := objects(typ); inner != nil {
		suffix := strings.TrimSuffix(nameOf(typ), "object")
		fields[path] = Field{Type: nameOf(typ)}
		walk(inner, path+suffix+".", fields)
		return
	}
	fields[path] = Field{Type: nameOf(typ)}
}

// objects is the struct that a value is made of or that its items are, nil where they are scalars.
func objects(typ reflect.Type) reflect.Type {
	for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice || typ.Kind() == reflect.Map {
		typ = typ.Elem()
	}
	if typ.Kind() != reflect.Struct || scalars[typ.String()] != "" {
		return nil
	}
	if reflect.PointerTo(typ).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		panic(fmt.Sprintf("how is a %s written?", typ))
	}
	return typ
}

func nameOf(typ reflect.Type) string {
	if name := scalars[typ.String()]; name != "" {
		return name
	}
	switch typ.Kind() {
	case reflect.Pointer:
		return nameOf(typ.Elem())
	case reflect.Slice:
		if typ.Elem().Kind() == reflect.Uint8 {
			return "bytes"
		}
		return "[]" + nameOf(typ.Elem())
	case reflect.Map:
		return "{}" + nameOf(typ.Elem())
	case reflect.Struct:
		return "object"
	case reflect.Bool, reflect.String, reflect.Float64, reflect.Float32,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return typ.Kind().String()
	}
	panic(fmt.Sprintf("what is a %s to be called?", typ))
}

func addDefaults(empty runtime.Object, fields map[string]Field) error {
	text, err := json.Marshal(empty)
	if err != nil {
		return err
	}
	var values map[string]any
	if err := json.Unmarshal(text, &values); err != nil {
		return err
	}
	flatten(values, "", fields)
	return nil
}

func flatten(values map[string]any, prefix string, fields map[string]Field) {
	for name, value := range values {
		path := prefix + name
		field, known := fields[path]
		if inner, is := value.(map[string]any); is && (!known || field.Type == "object") {
			flatten(inner, path+".", fields)
			continue
		}
		if known && value != nil {
			field.Default = value
			fields[path] = field
		}
	}
}
