package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	channels "k8s.io/apimachinery/pkg/util/remotecommand"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/kubelet/pkg/cri/streaming/portforward"
	streaming "k8s.io/kubelet/pkg/cri/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"
)

const (
	nobody          = 65534
	streamIdle      = 4 * time.Hour
	streamCreation  = 30 * time.Second
	logPoll         = 50 * time.Millisecond
	cannotBeStarted = 127
)

// serve answers the API server: exec, logs and port-forward, over TLS, for its client certificate alone.
func (n *node) serve(ctx context.Context) error {
	pem, err := os.ReadFile(n.clientFile)
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	routes := http.NewServeMux()
	routes.HandleFunc("/containerLogs/{namespace}/{pod}/{container}", n.forPod(n.logs))
	routes.HandleFunc("/exec/{namespace}/{pod}/{container}", n.forPod(n.exec))
	routes.HandleFunc("/attach/{namespace}/{pod}/{container}", n.forPod(n.attach))
	routes.HandleFunc("/portForward/{namespace}/{pod}", n.forPod(n.portForward))
	server := &http.Server{
		Addr:        fmt.Sprintf("127.0.0.1:%d", n.port),
		Handler:     routes,
		BaseContext: func(net.Listener) context.Context { return ctx },
		TLSConfig:   &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool, MinVersion: tls.VersionTLS12},
		// HTTP/1.1 alone: SPDY upgrades need it.
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
	}
	return server.ListenAndServeTLS(n.certFile, n.keyFile)
}

type handler func(w http.ResponseWriter, r *http.Request, name string, uid types.UID)

func (n *node) forPod(handle handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.TLS.PeerCertificates[0].Subject.CommonName != n.clientName {
			http.Error(w, "for the API server alone", http.StatusForbidden)
			return
		}
		pod, err := n.api.CoreV1().Pods(r.PathValue("namespace")).Get(r.Context(), r.PathValue("pod"), metav1.GetOptions{})
		if err != nil || pod.Spec.NodeName != n.name {
			http.Error(w, "no such pod here", http.StatusNotFound)
			return
		}
		handle(w, r, pod.Name, pod.UID)
	}
}

func (n *node) exec(w http.ResponseWriter, r *http.Request, name string, uid types.UID) {
	options, err := streaming.NewOptions(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	streaming.ServeExec(w, r, n, name, uid, r.PathValue("container"), r.URL.Query()["command"], options, streamIdle, streamCreation, channels.SupportedStreamingProtocols)
}

func (n *node) attach(w http.ResponseWriter, r *http.Request, name string, uid types.UID) {
	options, err := streaming.NewOptions(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	streaming.ServeAttach(w, r, n, name, uid, r.PathValue("container"), options, streamIdle, streamCreation, channels.SupportedStreamingProtocols)
}

func (n *node) portForward(w http.ResponseWriter, r *http.Request, name string, uid types.UID) {
	options, err := portforward.NewV4Options(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	portforward.ServePortForward(w, r, n, name, uid, options, streamIdle, streamCreation, portforward.SupportedProtocols)
}

func (n *node) logs(w http.ResponseWriter, r *http.Request, _ string, uid types.UID) {
	log, err := os.Open(n.logOf(uid, r.PathValue("container")))
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	defer log.Close()
	for {
		if _, err := io.Copy(w, log); err != nil || r.FormValue("follow") != "true" || r.Context().Err() != nil {
			return
		}
		w.(http.Flusher).Flush()
		time.Sleep(logPoll)
	}
}

// process prepares a member of the pod: it and its children are killed when ctx ends.
func (n *node) process(ctx context.Context, uid types.UID, argv []string) *exec.Cmd {
	process := exec.CommandContext(ctx, argv[0], argv[1:]...)
	process.Dir = filepath.Join(n.dir, string(uid), "root")
	process.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + process.Dir}
	process.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if os.Getuid() == 0 {
		process.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	process.Cancel = func() error { return syscall.Kill(-process.Process.Pid, syscall.SIGKILL) }
	process.WaitDelay = time.Second
	return process
}

// ExecInContainer is what the kubelet's code asks for.
func (n *node) ExecInContainer(ctx context.Context, _ string, uid types.UID, _ string, argv []string, in io.Reader, out, errs io.WriteCloser, tty bool, sizes <-chan remotecommand.TerminalSize, _ time.Duration) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	process := n.process(ctx, uid, argv)
	if tty {
		return ended(inTerminal(process, in, out, sizes))
	}
	if in != nil {
		// Not as the process's own input: its end would wait for the client's.
		pipe, err := process.StdinPipe()
		if err != nil {
			return err
		}
		go func() {
			_, _ = io.Copy(pipe, in)
			pipe.Close()
		}()
	}
	if out != nil {
		process.Stdout = out
	}
	if errs != nil {
		process.Stderr = errs
	}
	return ended(process.Run())
}

// ended says how a process ended in the way that a kubelet does.
func ended(err error) error {
	if err == nil {
		return nil
	}
	code := cannotBeStarted
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	}
	return utilexec.CodeExitError{Err: fmt.Errorf("command terminated with exit code %d: %w", code, err), Code: code}
}

// PortForward is what the kubelet's code asks for.
func (n *node) PortForward(_ context.Context, _ string, _ types.UID, port int32, stream io.ReadWriteCloser) error {
	connection, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	defer connection.Close()
	over := make(chan struct{})
	go func() {
		_, _ = io.Copy(connection, stream)
		_ = connection.(*net.TCPConn).CloseWrite()
		close(over)
	}()
	_, _ = io.Copy(stream, connection)
	<-over
	return nil
}
