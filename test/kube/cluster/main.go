// A Kubernetes control plane for tests on loopback, in one binary: upstream's own API server, its own etcd, and a node that
// runs containers as processes.
//
//	cluster etcd --dir DIR --client-port N --peer-port N
//	cluster apiserver FLAGS
//	cluster node FLAGS
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
)

func main() {
	commands := map[string]func() *cobra.Command{
		"apiserver": apiserver.NewAPIServerCommand,
		"etcd":      etcdCommand,
		"node":      nodeCommand,
	}
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: cluster etcd|apiserver|node [flags]")
		os.Exit(2)
	}
	command := commands[os.Args[1]]()
	os.Args = append([]string{"cluster " + os.Args[1]}, os.Args[2:]...)
	os.Exit(cli.Run(command))
}
