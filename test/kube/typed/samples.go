package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"reflect"
	"slices"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensionsv1beta1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1beta1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/randfill"
)

type sample struct {
	Kind     string          `json:"kind"`
	Protobuf []byte          `json:"protobuf"`
	JSON     json.RawMessage `json:"json"`
}

// samples are objects of every kind: their protobuf, and the JSON of what Kubernetes reads in that.
func samples(seeds int) {
	all, kinds := allKinds()
	serializer := protobuf.NewSerializer(all, all)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	lines := json.NewEncoder(out)
	for _, kind := range kinds {
		for seed := range seeds {
			object, err := all.New(kind)
			check(err)
			// The first has nothing in it; the second everything, and in that nothing; the third everything.
			switch seed {
			case 0:
			case 1:
				hollow(reflect.ValueOf(object).Elem(), nil)
			default:
				filler(int64(seed)).Fill(object)
			}
			object.GetObjectKind().SetGroupVersionKind(kind)
			var written bytes.Buffer
			check(serializer.Encode(object, &written))
			read, _, err := serializer.Decode(written.Bytes(), nil, nil)
			check(err)
			read.GetObjectKind().SetGroupVersionKind(kind)
			text, err := json.Marshal(read)
			check(err)
			version := kind.GroupVersion().String()
			check(lines.Encode(sample{Kind: version + " " + kind.Kind, Protobuf: written.Bytes(), JSON: text}))
		}
	}
	fmt.Fprintf(os.Stderr, "%d kinds\n", len(kinds))
}

var raws = []string{`{}`, `null`, `[1, {"a": "é\u0000"}]`, `{"kind": "Any", "big": 12345678901234567, "f:metadata": {".": {}}}`, `"text"`, `1.5e3`}

// hollow makes each structure, list and map that there can be, with one element, and leaves every value in them as it is: what is then in
// the JSON is what Kubernetes writes though it is empty.
func hollow(to reflect.Value, within []reflect.Type) {
	own := to.Type()
	switch {
	case special[own] != "" || own == reflect.TypeFor[metav1.TypeMeta]():
	case either[own]:
		to.FieldByName("Schema").Set(reflect.New(to.FieldByName("Schema").Type().Elem()))
	case own.Kind() == reflect.Struct && !slices.Contains(within, own):
		for index := range to.NumField() {
			hollow(to.Field(index), append(slices.Clone(within), own))
		}
	case own.Kind() == reflect.Pointer:
		to.Set(reflect.New(own.Elem()))
		hollow(to.Elem(), within)
	case own.Kind() == reflect.Slice && own.Elem().Kind() == reflect.Uint8:
	case own.Kind() == reflect.Slice:
		to.Set(reflect.MakeSlice(own, 1, 1))
		hollow(to.Index(0), within)
	case own.Kind() == reflect.Map:
		value := reflect.New(own.Elem()).Elem()
		hollow(value, within)
		to.Set(reflect.MakeMap(own))
		to.SetMapIndex(reflect.Zero(own.Key()), value)
	}
}

// filler fills what has rules of its own with what these allow.
func filler(seed int64) *randfill.Filler {
	chance := 0.4
	if seed == 2 {
		chance = 0
	}
	raw := func(c randfill.Continue) []byte { return []byte(raws[c.Intn(len(raws))]) }
	moment := func(c randfill.Continue) time.Time {
		if c.Intn(8) == 0 {
			return time.Time{}
		}
		return time.Unix(c.Int63n(315_000_000_000)-62_000_000_000, c.Int63n(1_000_000_000))
	}
	return randfill.NewWithSeed(seed).NilChance(chance).NumElements(1, 2).MaxDepth(14).Funcs(
		func(to *metav1.TypeMeta, _ randfill.Continue) {},
		func(to *metav1.Time, c randfill.Continue) { to.Time = moment(c) },
		func(to *metav1.MicroTime, c randfill.Continue) { to.Time = moment(c) },
		func(to *metav1.Duration, c randfill.Continue) {
			to.Duration = time.Duration(c.Int63()-math.MaxInt64/2) >> (7 * c.Intn(9))
		},
		func(to *metav1.FieldsV1, c randfill.Continue) { to.SetRawBytes(raw(c)) },
		func(to *runtime.RawExtension, c randfill.Continue) { to.Raw = raw(c) },
		func(to *apiextensionsv1.JSON, c randfill.Continue) { to.Raw = raw(c) },
		func(to *apiextensionsv1beta1.JSON, c randfill.Continue) { to.Raw = raw(c) },
		func(to *resource.Quantity, c randfill.Continue) {
			if c.Intn(8) > 0 {
				formats := []resource.Format{resource.DecimalSI, resource.BinarySI, resource.DecimalExponent}
				*to = *resource.NewScaledQuantity(c.Int63n(1_000_000), resource.Scale(c.Intn(7)-3))
				to.Format = formats[c.Intn(3)]
				// In the one form that it has once it was read.
				*to = resource.MustParse(to.String())
			}
		},
		func(to *intstr.IntOrString, c randfill.Continue) {
			*to = intstr.FromInt32(int32(c.Uint32()))
			if c.Bool() {
				*to = intstr.FromString(c.String(0))
			}
		},
		func(to *float64, c randfill.Continue) { *to = (c.Float64() - 0.5) * math.Pow10(c.Intn(40)-10) },
		func(to *int64, c randfill.Continue) { *to = int64(c.Uint64()) >> c.Intn(64) },
		// One of two, and neither of the two in the place of nothing.
		func(to *apiextensionsv1.JSONSchemaPropsOrArray, c randfill.Continue) {
			c.FillNoCustom(to)
			if c.Bool() {
				to.Schema = nil
			} else {
				to.JSONSchemas = nil
			}
		},
		func(to *apiextensionsv1beta1.JSONSchemaPropsOrArray, c randfill.Continue) {
			c.FillNoCustom(to)
			if c.Bool() {
				to.Schema = nil
			} else {
				to.JSONSchemas = nil
			}
		},
		func(to *apiextensionsv1.JSONSchemaPropsOrStringArray, c randfill.Continue) {
			c.FillNoCustom(to)
			if c.Bool() {
				to.Schema = nil
			} else {
				to.Property = nil
			}
		},
		func(to *apiextensionsv1beta1.JSONSchemaPropsOrStringArray, c randfill.Continue) {
			c.FillNoCustom(to)
			if c.Bool() {
				to.Schema = nil
			} else {
				to.Property = nil
			}
		},
	)
}
