package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// seen are the media types that went over the wire, as "POST protobuf -> json".
type seen struct {
	http.RoundTripper
	lock  sync.Mutex
	types map[string]int
}

func (s *seen) RoundTrip(request *http.Request) (*http.Response, error) {
	answer, err := s.RoundTripper.RoundTrip(request)
	if err != nil || request.Body == nil {
		return answer, err
	}
	short := func(media string) string {
		media, _, _ = strings.Cut(media, ";")
		return media[strings.LastIndexAny(media, "./")+1:]
	}
	s.lock.Lock()
	defer s.lock.Unlock()
	s.types[fmt.Sprintf("%s %s -> %s", request.Method, short(request.Header.Get("Content-Type")), short(answer.Header.Get("Content-Type")))]++
	return answer, nil
}

func clientOf(file string) (*kubernetes.Clientset, *seen) {
	config, err := clientcmd.BuildConfigFromFlags("", file)
	check(err)
	config.ContentType = runtime.ContentTypeProtobuf
	config.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	watched := &seen{types: map[string]int{}}
	config.Wrap(func(inner http.RoundTripper) http.RoundTripper {
		watched.RoundTripper = inner
		return watched
	})
	config.QPS = -1
	client, err := kubernetes.NewForConfig(rest.CopyConfig(config))
	check(err)
	return client, watched
}

var deployment = appsv1.DeploymentSpec{
	Replicas: new(int32),
	Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
	Strategy: appsv1.DeploymentStrategy{RollingUpdate: &appsv1.RollingUpdateDeployment{
		MaxSurge: pointer(intstr.FromString("25%")), MaxUnavailable: pointer(intstr.FromInt32(0)),
	}},
	Template: corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}},
		Spec: corev1.PodSpec{
			Volumes: []corev1.Volume{{Name: "e", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: resource.NewQuantity(1<<30, resource.BinarySI)}}}},
			Containers: []corev1.Container{{
				Name: "web", Image: "web:1", Command: []string{"sh", "-c", ""},
				Env:             []corev1.EnvVar{{Name: "A"}, {Name: "B", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}}},
				Resources:       corev1.ResourceRequirements{Limits: corev1.ResourceList{"cpu": resource.MustParse("1500m"), "memory": resource.MustParse("64Mi")}},
				LivenessProbe:   &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Port: intstr.FromInt32(80)}}},
				SecurityContext: &corev1.SecurityContext{Privileged: new(bool), RunAsUser: new(int64)},
			}},
			TerminationGracePeriodSeconds: new(int64),
		},
	},
}

func pointer[T any](value T) *T { return &value }

// client does what typed clients do, through the gateway ($KUBECONFIG), and beside it ($DIRECT). It says each thing that went as it should.
func client() {
	guarded, wire := clientOf(os.Getenv("KUBECONFIG"))
	direct, _ := clientOf(os.Getenv("DIRECT"))
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()

	configMaps(ctx, guarded, direct)
	deployments(ctx, guarded, direct)
	secrets(ctx, guarded)
	pods(ctx, guarded)
	others(ctx, guarded)
	for _, way := range slices.Sorted(maps.Keys(wire.types)) {
		fmt.Println(way)
	}
	refused(ctx, guarded, direct)
}

func expect(is bool, what string) {
	if !is {
		check(fmt.Errorf("it did not go as it should: %s", what))
	}
	fmt.Println(what)
}

func configMaps(ctx context.Context, guarded, direct *kubernetes.Clientset) {
	own := guarded.CoreV1().ConfigMaps("default")
	want := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "typed", Labels: map[string]string{"a": "b"}},
		Data:       map[string]string{"text": "é\n\"😀\"", "empty": ""}, BinaryData: map[string][]byte{"bytes": {0, 255}, "none": {}},
	}
	watching, err := own.Watch(ctx, metav1.ListOptions{LabelSelector: "a=b"})
	check(err)
	defer watching.Stop()
	made, err := own.Create(ctx, want, metav1.CreateOptions{})
	check(err)
	there, err := direct.CoreV1().ConfigMaps("default").Get(ctx, "typed", metav1.GetOptions{})
	check(err)
	expect(equality.Semantic.DeepEqual(there.Data, want.Data) && equality.Semantic.DeepEqual(there.BinaryData, want.BinaryData), "ConfigMap created")
	event := <-watching.ResultChan()
	expect(event.Object.(*corev1.ConfigMap).UID == made.UID, "ConfigMap watched")
	made.Data["text"] = "other"
	changed, err := own.Update(ctx, made, metav1.UpdateOptions{})
	check(err)
	expect(changed.Data["text"] == "other" && changed.UID == made.UID, "ConfigMap updated")
	listed, err := own.List(ctx, metav1.ListOptions{LabelSelector: "a=b"})
	check(err)
	expect(len(listed.Items) == 1 && listed.Items[0].Name == "typed", "ConfigMap listed")
	other := metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: pointer(changed.UID + "x")}}
	expect(errors.IsConflict(own.Delete(ctx, "typed", other)), "ConfigMap of another UID not deleted")
	check(own.Delete(ctx, "typed", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &changed.UID}, DryRun: []string{"All"}}))
	_, err = own.Get(ctx, "typed", metav1.GetOptions{})
	check(err)
	check(own.Delete(ctx, "typed", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &changed.UID}}))
	_, err = own.Get(ctx, "typed", metav1.GetOptions{})
	expect(errors.IsNotFound(err), "ConfigMap deleted")
}

func deployments(ctx context.Context, guarded, direct *kubernetes.Clientset) {
	write := func(to *kubernetes.Clientset, name string) *appsv1.Deployment {
		made, err := to.AppsV1().Deployments("default").Create(ctx, &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: deployment}, metav1.CreateOptions{})
		check(err)
		return made
	}
	through, beside := write(guarded, "through"), write(direct, "beside")
	expect(equality.Semantic.DeepEqual(through.Spec, beside.Spec), "Deployment is the one that the API server makes of the same protobuf")
	own := guarded.AppsV1().Deployments("default")
	scale, err := own.GetScale(ctx, "through", metav1.GetOptions{})
	check(err)
	scale.Spec.Replicas = 3
	_, err = own.UpdateScale(ctx, "through", scale, metav1.UpdateOptions{})
	check(err)
	scaled, err := own.Get(ctx, "through", metav1.GetOptions{})
	check(err)
	expect(*scaled.Spec.Replicas == 3, "Deployment scaled")
	scaled.Spec.Template.Spec.Containers[0].Image = "web:2"
	_, err = own.Update(ctx, scaled, metav1.UpdateOptions{})
	check(err)
	check(own.DeleteCollection(ctx, metav1.DeleteOptions{PropagationPolicy: pointer(metav1.DeletePropagationBackground)}, metav1.ListOptions{}))
	left, err := own.List(ctx, metav1.ListOptions{})
	check(err)
	expect(len(left.Items) == 0, "Deployments deleted")
}

func secrets(ctx context.Context, guarded *kubernetes.Clientset) {
	own := guarded.CoreV1().Secrets("default")
	made, err := own.Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "typed"}, Data: map[string][]byte{"a": {1, 2}}}, metav1.CreateOptions{})
	check(err)
	made.StringData = map[string]string{"b": "text"}
	changed, err := own.Update(ctx, made, metav1.UpdateOptions{})
	check(err)
	expect(bytes.Equal(changed.Data["a"], []byte{1, 2}) && string(changed.Data["b"]) == "text", "Secret written")
	check(own.Delete(ctx, "typed", metav1.DeleteOptions{GracePeriodSeconds: new(int64)}))
}

func pods(ctx context.Context, guarded *kubernetes.Clientset) {
	own := guarded.CoreV1().Pods("default")
	for _, name := range []string{"bound", "evicted"} {
		_, err := own.Create(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "any", Command: []string{"sleep", "100"}}}}}, metav1.CreateOptions{})
		check(err)
	}
	check(own.Bind(ctx, &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: "bound"}, Target: corev1.ObjectReference{Kind: "Node", Name: "node1"}}, metav1.CreateOptions{}))
	bound, err := own.Get(ctx, "bound", metav1.GetOptions{})
	check(err)
	expect(bound.Spec.NodeName == "node1", "Pod bound")
	check(own.Delete(ctx, "bound", metav1.DeleteOptions{GracePeriodSeconds: new(int64)}))
	check(own.EvictV1(ctx, &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: "evicted"}, DeleteOptions: &metav1.DeleteOptions{GracePeriodSeconds: new(int64)}}))
	_, err = own.Get(ctx, "evicted", metav1.GetOptions{})
	expect(errors.IsNotFound(err), "Pod evicted")
}

func others(ctx context.Context, guarded *kubernetes.Clientset) {
	own := guarded.CoreV1().ServiceAccounts("default")
	_, err := own.Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "typed"}}, metav1.CreateOptions{})
	check(err)
	token, err := own.CreateToken(ctx, "typed", &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: pointer(int64(700))}}, metav1.CreateOptions{})
	check(err)
	expect(token.Status.Token != "" && *token.Spec.ExpirationSeconds == 700, "token of a ServiceAccount made")
	review, err := guarded.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: "ada", Extra: map[string]authorizationv1.ExtraValue{"scopes": {"a"}, "none": {}}, ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "get", Resource: "pods"},
	}}, metav1.CreateOptions{})
	check(err)
	expect(!review.Status.Allowed && len(review.Spec.Extra["scopes"]) == 1, "access reviewed")
}

func refused(ctx context.Context, guarded, direct *kubernetes.Clientset) {
	for _, name := range []string{"frozen", "masked"} {
		_, err := direct.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		check(err)
	}
	_, err := guarded.CoreV1().ConfigMaps("frozen").Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "c"}}, metav1.CreateOptions{})
	expect(errors.IsForbidden(err) && strings.Contains(err.Error(), "nothing is made in this namespace"), "refused in a namespace")
	_, err = direct.CoreV1().Secrets("masked").Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "db"}, Data: map[string][]byte{"password": []byte("canary-5e1d")}}, metav1.CreateOptions{})
	check(err)
	own := guarded.CoreV1().Secrets("masked")
	shown, err := own.Get(ctx, "db", metav1.GetOptions{})
	check(err)
	expect(string(shown.Data["password"]) == "***", "Secret masked")
	shown.Labels = map[string]string{"a": "b"}
	_, err = own.Update(ctx, shown, metav1.UpdateOptions{})
	expect(errors.IsForbidden(err) && strings.Contains(err.Error(), "as it was masked for you"), "masked Secret not written back")
	shown.Data = map[string][]byte{"password": []byte("new")}
	written, err := own.Update(ctx, shown, metav1.UpdateOptions{})
	check(err)
	there, err := direct.CoreV1().Secrets("masked").Get(ctx, "db", metav1.GetOptions{})
	check(err)
	expect(string(there.Data["password"]) == "new" && string(written.Data["password"]) == "***", "Secret written, and its answer masked")
}
