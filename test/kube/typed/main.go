// Kubernetes' own types as clients in Go write them: what the gateway's table of them is made of, and what it is tested with.
//
//	go run . table           the table of messages (scripts/kubernetes-messages.mjs writes it to its place)
//	go run . samples SEEDS   objects of every kind, filled at random: one a line, as {"kind", "protobuf" (base64), "json"}
//	go run . vectors         the objects of objects.yaml (standard input): one a line, as {"protobuf" (hexadecimal), "json"}
//	go run . client          a typed client that writes protobuf, at the API server of $KUBECONFIG, and at the same one of $DIRECT
package main

import (
	"fmt"
	"os"
	"reflect"
	"sort"
	"strconv"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensionsv1beta1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1beta1"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	apiregistrationv1beta1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1beta1"
)

type unmarshaler interface{ Unmarshal([]byte) error }

var unmarshalerType = reflect.TypeFor[unmarshaler]()

// allKinds are those that have a form in protobuf, and say which they are (an event of a watch does not).
func allKinds() (*runtime.Scheme, []schema.GroupVersionKind) {
	all := scheme.Scheme
	for _, add := range []func(*runtime.Scheme) error{
		apiextensionsv1.AddToScheme, apiextensionsv1beta1.AddToScheme,
		apiregistrationv1.AddToScheme, apiregistrationv1beta1.AddToScheme,
	} {
		check(add(all))
	}
	var kinds []schema.GroupVersionKind
	for kind, own := range all.AllKnownTypes() {
		object := reflect.New(own).Interface().(runtime.Object)
		_, readable := object.(unmarshaler)
		if kind.Version != runtime.APIVersionInternal && readable && object.GetObjectKind() != schema.EmptyObjectKind {
			kinds = append(kinds, kind)
		}
	}
	sort.Slice(kinds, func(i, j int) bool { return kinds[i].String() < kinds[j].String() })
	return all, kinds
}

func main() {
	command := ""
	if len(os.Args) > 1 {
		command = os.Args[1]
	}
	switch command {
	case "table":
		table()
	case "samples":
		seeds, err := strconv.Atoi(os.Args[len(os.Args)-1])
		check(err)
		samples(seeds)
	case "client":
		client()
	case "vectors":
		vectors(os.Stdin)
	default:
		fmt.Fprintln(os.Stderr, "usage: table | samples SEEDS | vectors | client")
		os.Exit(2)
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
