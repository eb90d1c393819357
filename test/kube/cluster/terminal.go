package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/remotecommand"
)

// inTerminal runs a process on a terminal of its own, which gets every size that the client's takes.
func inTerminal(process *exec.Cmd, in io.Reader, out io.Writer, sizes <-chan remotecommand.TerminalSize) error {
	own, other, err := openTerminal()
	if err != nil {
		return err
	}
	defer own.Close()
	process.Stdin, process.Stdout, process.Stderr = other, other, other
	process.SysProcAttr.Setctty = true
	err = process.Start()
	other.Close()
	if err != nil {
		return err
	}
	if in != nil {
		go func() { _, _ = io.Copy(own, in) }()
	}
	go func() {
		for size := range sizes {
			_ = unix.IoctlSetWinsize(int(own.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: size.Height, Col: size.Width})
		}
	}()
	// It ends with an error once no process has the terminal open.
	_, _ = io.Copy(out, own)
	return process.Wait()
}

// openTerminal makes a pair: what the one side is given, the other reads.
func openTerminal() (own, other *os.File, err error) {
	own, err = os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		return nil, nil, err
	}
	number, err := unix.IoctlGetInt(int(own.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(own.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		other, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		own.Close()
	}
	return own, other, err
}

// AttachContainer is what the kubelet's code asks for: what the container says from now on, and to it what the client says.
func (n *node) AttachContainer(ctx context.Context, _ string, uid types.UID, container string, in io.Reader, out, _ io.WriteCloser, _ bool, _ <-chan remotecommand.TerminalSize) error {
	log, err := os.Open(n.logOf(uid, container))
	if err != nil {
		return err
	}
	defer log.Close()
	if _, err := log.Seek(0, io.SeekEnd); err != nil {
		return err
	}
	one := n.containerOf(uid, container)
	if one == nil {
		return fmt.Errorf("there is no container %s", container)
	}
	if in != nil && one.input != nil {
		go func() { _, _ = io.Copy(one.input, in) }()
	}
	for over := false; ; {
		if _, err := io.Copy(out, log); err != nil || over {
			return err
		}
		select {
		case <-one.over:
			// What it said last.
			over = true
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(logPoll):
		}
	}
}
