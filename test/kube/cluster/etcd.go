package main

import (
	"fmt"
	"net/url"
	"time"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/embed"
)

const etcdStart = 60 * time.Second

// etcdCommand runs one member on loopback. It does not wait for the disk: its data is for tests alone.
func etcdCommand() *cobra.Command {
	var dir string
	var clientPort, peerPort int
	command := &cobra.Command{Use: "etcd", RunE: func(*cobra.Command, []string) error {
		at := func(port int) []url.URL {
			return []url.URL{{Scheme: "http", Host: fmt.Sprintf("127.0.0.1:%d", port)}}
		}
		config := embed.NewConfig()
		config.Dir, config.LogLevel, config.UnsafeNoFsync = dir, "warn", true
		config.ListenClientUrls, config.AdvertiseClientUrls = at(clientPort), at(clientPort)
		config.ListenPeerUrls, config.AdvertisePeerUrls = at(peerPort), at(peerPort)
		config.InitialCluster = config.InitialClusterFromName(config.Name)
		member, err := embed.StartEtcd(config)
		if err != nil {
			return err
		}
		select {
		case <-member.Server.ReadyNotify():
			return <-member.Err()
		case <-time.After(etcdStart):
			return fmt.Errorf("etcd was not ready in %s", etcdStart)
		}
	}}
	command.Flags().StringVar(&dir, "dir", "", "where its data is")
	command.Flags().IntVar(&clientPort, "client-port", 2379, "for the API server")
	command.Flags().IntVar(&peerPort, "peer-port", 2380, "for other members, of which there are none")
	return command
}
