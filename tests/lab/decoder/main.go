// Copyright (c) 2026 The Kubeharden Authors
// GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Reads static pod manifests as the kubelet does (pkg/kubelet/config/common.go, tryDecodeSinglePod: YAML to JSON, the
// universal decoder, a Pod of v1), and says what it makes of each: of the texts on its input, a JSON list, a list of
// answers. What the kubelet validates afterwards refuses more, so that this accepts all that it accepts.
package main

import (
	"encoding/json"
	"os"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
)

type answer struct {
	// Why it is refused, empty where it is not.
	Refused string `json:"refused"`
	// The Pod, for which other bytes may stand.
	Pod *corev1.Pod `json:"pod"`
}

func read(decoder runtime.Decoder, text string) answer {
	data, err := yaml.ToJSON([]byte(text))
	if err != nil {
		return answer{Refused: err.Error()}
	}
	object, err := runtime.Decode(decoder, data)
	if err != nil {
		return answer{Refused: err.Error()}
	}
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return answer{Refused: "no Pod"}
	}
	return answer{Pod: pod}
}

func main() {
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		panic(err)
	}
	decoder := serializer.NewCodecFactory(scheme).UniversalDeserializer()
	var texts []string
	if err := json.NewDecoder(os.Stdin).Decode(&texts); err != nil {
		panic(err)
	}
	answers := make([]answer, 0, len(texts))
	for _, text := range texts {
		answers = append(answers, read(decoder, text))
	}
	if err := json.NewEncoder(os.Stdout).Encode(answers); err != nil {
		panic(err)
	}
}
