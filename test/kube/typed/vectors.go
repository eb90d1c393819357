package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/util/yaml"
	sigsyaml "sigs.k8s.io/yaml"
)

type vector struct {
	Protobuf string          `json:"protobuf"`
	JSON     json.RawMessage `json:"json"`
}

// vectors are the objects of a file of YAML: their protobuf in hexadecimal digits, and the JSON of what Kubernetes reads in that.
func vectors(in io.Reader) {
	all, _ := allKinds()
	own := protobuf.NewSerializer(all, all)
	reader := serializer.NewCodecFactory(all).UniversalDeserializer()
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	documents := yaml.NewYAMLReader(bufio.NewReader(in))
	for {
		text, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return
		}
		check(err)
		written, err := sigsyaml.YAMLToJSON(text)
		check(err)
		object, kind, err := reader.Decode(written, nil, nil)
		check(err)
		object.GetObjectKind().SetGroupVersionKind(*kind)
		var encoded bytes.Buffer
		check(own.Encode(object, &encoded))
		read, _, err := own.Decode(encoded.Bytes(), nil, nil)
		check(err)
		read.GetObjectKind().SetGroupVersionKind(*kind)
		expected, err := json.Marshal(read)
		check(err)
		line, err := json.Marshal(vector{Protobuf: fmt.Sprintf("%x", encoded.Bytes()), JSON: expected})
		check(err)
		fmt.Fprintf(out, "%s\n", line)
	}
}
