package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/spf13/cobra"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

// node stands in for a kubelet: a pod whose spec.nodeName is its own gets its containers as processes of this machine, whatever
// their images are. Streams (exec, logs, port-forward) are served by the kubelet's own code (serve.go). It has no init containers,
// volumes, probes or restarts, and isolates nothing: for the tests' own pods alone.
type node struct {
	api                           *kubernetes.Clientset
	kubeconfig, name, dir         string
	certFile, keyFile, clientFile string
	clientName                    string
	port                          int
	mutex                         sync.Mutex
	running                       map[types.UID]context.CancelFunc
	containers                    map[string]*container
}

// container is one that was started: who attaches to it speaks to its input, where its pod asks for one.
type container struct {
	input io.Writer
	over  chan struct{}
}

func nodeCommand() *cobra.Command {
	n := &node{running: map[types.UID]context.CancelFunc{}, containers: map[string]*container{}}
	command := &cobra.Command{Use: "node", RunE: func(command *cobra.Command, _ []string) error { return n.run(command.Context()) }}
	flags := command.Flags()
	flags.StringVar(&n.kubeconfig, "kubeconfig", "", "how to reach the API server")
	flags.StringVar(&n.name, "name", "node1", "the node to register")
	flags.StringVar(&n.dir, "dir", "", "where pods keep what they write")
	flags.StringVar(&n.certFile, "tls-cert-file", "", "its certificate")
	flags.StringVar(&n.keyFile, "tls-private-key-file", "", "its key")
	flags.StringVar(&n.clientFile, "client-ca-file", "", "who signs the API server's certificate as a client")
	flags.StringVar(&n.clientName, "client-name", "", "the only client that is served")
	flags.IntVar(&n.port, "port", 10250, "on 127.0.0.1")
	return command
}

func (n *node) run(ctx context.Context) error {
	if ctx == nil {
		ctx = context.Background()
	}
	config, err := clientcmd.BuildConfigFromFlags("", n.kubeconfig)
	if err != nil {
		return err
	}
	config.QPS, config.Burst = 200, 400
	n.api = kubernetes.NewForConfigOrDie(config)
	if err := n.register(ctx); err != nil {
		return err
	}
	own := fields.OneTermEqualSelector("spec.nodeName", n.name)
	_, informer := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: cache.NewListWatchFromClient(n.api.CoreV1().RESTClient(), "pods", "", own),
		ObjectType:    &v1.Pod{},
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc:    func(pod any) { n.sync(ctx, pod.(*v1.Pod)) },
			UpdateFunc: func(_, pod any) { n.sync(ctx, pod.(*v1.Pod)) },
			DeleteFunc: func(object any) {
				if pod, ok := object.(*v1.Pod); ok {
					n.stop(pod.UID)
				}
			},
		},
	})
	go informer.Run(ctx.Done())
	return n.serve(ctx)
}

// register makes the node known, with the address at which the API server finds it.
func (n *node) register(ctx context.Context) error {
	nodes := n.api.CoreV1().Nodes()
	made, err := nodes.Create(ctx, &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.name}}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	made.Status.Addresses = []v1.NodeAddress{{Type: v1.NodeInternalIP, Address: "127.0.0.1"}}
	made.Status.DaemonEndpoints.KubeletEndpoint.Port = int32(n.port)
	made.Status.Conditions = []v1.NodeCondition{{Type: v1.NodeReady, Status: v1.ConditionTrue, Reason: "KubeletReady"}}
	_, err = nodes.UpdateStatus(ctx, made, metav1.UpdateOptions{})
	return err
}

func (n *node) sync(ctx context.Context, pod *v1.Pod) {
	if pod.DeletionTimestamp != nil {
		n.stop(pod.UID)
		now := int64(0)
		gone := metav1.DeleteOptions{GracePeriodSeconds: &now, Preconditions: metav1.NewUIDPreconditions(string(pod.UID))}
		_ = n.api.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, gone)
		return
	}
	n.mutex.Lock()
	defer n.mutex.Unlock()
	if n.running[pod.UID] != nil || pod.Status.Phase != v1.PodPending {
		return
	}
	podCtx, cancel := context.WithCancel(ctx)
	n.running[pod.UID] = cancel
	go n.start(podCtx, pod.DeepCopy())
}

func (n *node) stop(uid types.UID) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	if cancel := n.running[uid]; cancel != nil {
		cancel()
		delete(n.running, uid)
	}
}

func (n *node) start(ctx context.Context, pod *v1.Pod) {
	root := filepath.Join(n.dir, string(pod.UID), "root")
	if err := os.MkdirAll(root, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, "pod:", err)
		return
	}
	if os.Getuid() == 0 {
		_ = os.Chown(root, nobody, nobody)
	}
	for _, container := range pod.Spec.Containers {
		go n.contain(ctx, pod, container)
	}
	n.report(ctx, pod)
}

// contain runs one container to its end; what it says is kept in its log.
func (n *node) contain(ctx context.Context, pod *v1.Pod, spec v1.Container) {
	log, err := os.OpenFile(n.logOf(pod.UID, spec.Name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		fmt.Fprintln(os.Stderr, "container:", err)
		return
	}
	defer log.Close()
	argv := append(append([]string{}, spec.Command...), spec.Args...)
	if len(argv) == 0 {
		argv = []string{"sleep", "infinity"}
	}
	process := n.process(ctx, pod.UID, argv)
	for _, variable := range spec.Env {
		process.Env = append(process.Env, variable.Name+"="+variable.Value)
	}
	process.Stdout, process.Stderr = log, log
	one := &container{over: make(chan struct{})}
	defer close(one.over)
	if spec.Stdin {
		if one.input, err = process.StdinPipe(); err != nil {
			fmt.Fprintln(os.Stderr, "container:", err)
			return
		}
	}
	n.mutex.Lock()
	n.containers[n.logOf(pod.UID, spec.Name)] = one
	n.mutex.Unlock()
	_ = process.Run()
}

func (n *node) containerOf(uid types.UID, name string) *container {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	return n.containers[n.logOf(uid, name)]
}

// report says that the pod runs.
func (n *node) report(ctx context.Context, pod *v1.Pod) {
	now, started := metav1.Now(), true
	status := v1.PodStatus{Phase: v1.PodRunning, HostIP: "127.0.0.1", PodIP: "127.0.0.1", StartTime: &now}
	for _, kind := range []v1.PodConditionType{v1.PodScheduled, v1.PodInitialized, v1.ContainersReady, v1.PodReady} {
		status.Conditions = append(status.Conditions, v1.PodCondition{Type: kind, Status: v1.ConditionTrue})
	}
	for _, container := range pod.Spec.Containers {
		status.ContainerStatuses = append(status.ContainerStatuses, v1.ContainerStatus{
			Name: container.Name, Image: container.Image, Ready: true, Started: &started,
			State:       v1.ContainerState{Running: &v1.ContainerStateRunning{StartedAt: now}},
			ContainerID: "process://" + string(pod.UID) + "/" + container.Name,
		})
	}
	pods := n.api.CoreV1().Pods(pod.Namespace)
	for try := 0; try < 20; try++ {
		current, err := pods.Get(ctx, pod.Name, metav1.GetOptions{})
		if err == nil && current.UID == pod.UID {
			current.Status = status
			_, err = pods.UpdateStatus(ctx, current, metav1.UpdateOptions{})
		}
		if err == nil || !apierrors.IsConflict(err) {
			return
		}
	}
}

func (n *node) logOf(uid types.UID, container string) string {
	return filepath.Join(n.dir, string(uid), filepath.Base(container)+".log")
}
