package main

import (
	"bufio"
	"encoding"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"runtime/debug"
	"sort"
	"strconv"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensionsv1beta1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1beta1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// What is no plain message in one of its two forms. Everything else that has a JSON of its own ends the program.
var special = map[reflect.Type]string{
	reflect.TypeFor[metav1.Time]():               "time",
	reflect.TypeFor[metav1.MicroTime]():          "microtime",
	reflect.TypeFor[metav1.Duration]():           "duration",
	reflect.TypeFor[metav1.FieldsV1]():           "raw",
	reflect.TypeFor[runtime.RawExtension]():      "raw",
	reflect.TypeFor[resource.Quantity]():         "quantity",
	reflect.TypeFor[intstr.IntOrString]():        "int-or-string",
	reflect.TypeFor[apiextensionsv1.JSON]():      "raw",
	reflect.TypeFor[apiextensionsv1beta1.JSON](): "raw",
}

// Of which JSON has one field in their place.
var either = map[reflect.Type]bool{
	reflect.TypeFor[apiextensionsv1.JSONSchemaPropsOrBool]():             true,
	reflect.TypeFor[apiextensionsv1beta1.JSONSchemaPropsOrBool]():        true,
	reflect.TypeFor[apiextensionsv1.JSONSchemaPropsOrArray]():            true,
	reflect.TypeFor[apiextensionsv1beta1.JSONSchemaPropsOrArray]():       true,
	reflect.TypeFor[apiextensionsv1.JSONSchemaPropsOrStringArray]():      true,
	reflect.TypeFor[apiextensionsv1beta1.JSONSchemaPropsOrStringArray](): true,
}

var scalars = map[reflect.Kind]string{
	reflect.String: "string", reflect.Bool: "bool", reflect.Int32: "int32", reflect.Int64: "int64", reflect.Float64: "double",
}

var marshaler = reflect.TypeFor[json.Marshaler]()
var textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()

// messages are the lines so far, by name; of what is still being looked at, empty ones.
type messages map[string]string

func table() {
	known, kinds := allKinds()
	all := messages{}
	groups := map[string][]string{}
	packages := map[string]string{}
	everywhere := map[string]string{}
	for _, kind := range kinds {
		name := all.add(known.AllKnownTypes()[kind])
		version := kind.GroupVersion().String()
		home, own, _ := strings.Cut(name, ".")
		switch {
		case home == "meta/v1":
			everywhere[kind.Kind] = name
		case own != kind.Kind || packages[version] != "" && packages[version] != home:
			check(fmt.Errorf("%s %s is %s: the table has no place for that", version, kind.Kind, name))
		default:
			packages[version] = home
			groups[version] = append(groups[version], kind.Kind)
		}
	}
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	fmt.Fprintln(out, "# Written by scripts/kubernetes-messages.mjs out of these modules, which are The Kubernetes Authors', under the Apache License 2.0:")
	build, _ := debug.ReadBuildInfo()
	for _, module := range build.Deps {
		if strings.HasPrefix(module.Path, "k8s.io/a") || strings.HasPrefix(module.Path, "k8s.io/kube-aggregator") {
			fmt.Fprintf(out, "# %s %s\n", module.Path, module.Version)
		}
	}
	fmt.Fprintln(out)
	for _, version := range sorted(groups) {
		fmt.Fprintf(out, "%s %s %s\n", version, packages[version], strings.Join(groups[version], " "))
	}
	fmt.Fprintf(out, "* meta/v1 %s\n", strings.Join(sorted(everywhere), " "))
	fmt.Fprintln(out)
	for _, name := range sorted(all) {
		fmt.Fprintf(out, "%s%s\n", name, all[name])
	}
}

func sorted[V any](of map[string]V) []string {
	names := make([]string, 0, len(of))
	for name := range of {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// apps/v1.Deployment
func nameOf(own reflect.Type) string {
	parts := strings.Split(own.PkgPath(), "/")
	return strings.Join(parts[len(parts)-2:], "/") + "." + own.Name()
}

var paths = map[string]string{}

func (all messages) add(own reflect.Type) string {
	name := nameOf(own)
	if path, seen := paths[name]; seen && path != own.PkgPath() {
		fail(own, "", "two packages have a type of this name")
	}
	if _, seen := all[name]; seen {
		return name
	}
	paths[name] = own.PkgPath()
	all[name] = ""
	var line strings.Builder
	taken := map[string]bool{}
	for index := range own.NumField() {
		line.WriteString(all.field(own, own.Field(index), taken))
	}
	all[name] = line.String()
	return name
}

// " name=1:string", or "" for what is in no protobuf (the kind and version of the object itself).
func (all messages) field(in reflect.Type, field reflect.StructField, taken map[string]bool) string {
	tag := field.Tag.Get("protobuf")
	if tag == "" && field.Type == reflect.TypeFor[metav1.TypeMeta]() {
		return ""
	}
	parts := strings.Split(tag, ",")
	if len(parts) < 3 {
		fail(in, field.Name, "no tag says what it is in protobuf")
	}
	number, err := strconv.Atoi(parts[1])
	check(err)
	name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
	inline := field.Anonymous && name == ""
	if either[in] {
		name = field.Name
	}
	if !inline && (name == "" || name == "-") {
		fail(in, field.Name, "it has no name in JSON")
	}
	if taken[name] && !inline {
		fail(in, field.Name, "two fields have one name")
	}
	taken[name] = true
	always := "!"
	for option := range strings.SplitSeq(options, ",") {
		switch option {
		case "omitempty":
			always = ""
		case "omitzero":
			if field.Type != reflect.TypeFor[metav1.Time]() {
				fail(in, field.Name, "it is left out where it is zero, and no time")
			}
			always = "0"
		case "", "inline":
		default:
			fail(in, field.Name, "what JSON is told of it is not known here: "+option)
		}
	}
	if inline {
		always = ""
	}
	kind := all.typeOf(in, field)
	kind = strings.Replace(kind, nameOf(in)[:strings.Index(nameOf(in), ".")+1], "", 1)
	return fmt.Sprintf(" %s=%d:%s%s", name, number, kind, always)
}

func (all messages) typeOf(in reflect.Type, field reflect.StructField) string {
	own := field.Type
	// A list that is a message of its own, so that it can be told from none at all.
	if own.Kind() == reflect.Slice && reflect.PointerTo(own).Implements(unmarshalerType) {
		return "<>" + all.element(in, field, own.Elem())
	}
	switch own.Kind() {
	case reflect.Pointer:
		return "*" + all.element(in, field, own.Elem())
	case reflect.Slice:
		if own.Elem().Kind() == reflect.Uint8 {
			return "bytes"
		}
		return "[]" + all.element(in, field, own.Elem())
	case reflect.Map:
		if own.Key().Kind() != reflect.String {
			fail(in, field.Name, "its keys are no texts")
		}
		return "{}" + all.element(in, field, own.Elem())
	}
	return all.element(in, field, own)
}

func (all messages) element(in reflect.Type, field reflect.StructField, own reflect.Type) string {
	if name, is := special[own]; is {
		return name
	}
	if either[own] {
		all.add(own)
		return "|" + own.Name()
	}
	if reflect.PointerTo(own).Implements(marshaler) || reflect.PointerTo(own).Implements(textMarshaler) {
		fail(in, field.Name, "it has a JSON of its own")
	}
	if name, is := scalars[own.Kind()]; is {
		return name
	}
	switch {
	case own.Kind() == reflect.Struct:
		return all.add(own)
	case own.Kind() == reflect.Slice && own.Elem().Kind() == reflect.Uint8:
		return "bytes"
	case own.Kind() == reflect.Slice && reflect.PointerTo(own).Implements(unmarshalerType):
		return "<>" + all.element(in, field, own.Elem())
	}
	fail(in, field.Name, "it is of a kind that is not known here: "+own.String())
	return ""
}

func fail(in reflect.Type, field string, why string) {
	check(fmt.Errorf("%s %s: %s", nameOf(in), field, why))
}
