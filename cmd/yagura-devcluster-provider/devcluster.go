package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// machines are what groups are made of.
type machines interface {
	// add makes a node and returns when it is ready.
	add(ctx context.Context, name string, labels map[string]string, taints []corev1.Taint) error
	// remove deletes a node for good. One that does not exist is no error.
	remove(ctx context.Context, name string) error
	// list returns the names of all nodes.
	list(ctx context.Context) ([]string, error)
	// example returns a node that is ready, nil when there is none.
	example(ctx context.Context) (*corev1.Node, error)
}

// devcluster makes nodes by the program of that name.
type devcluster struct{ program, dir string }

func (d *devcluster) add(ctx context.Context, name string, labels map[string]string, taints []corev1.Taint) error {
	args := []string{"node", "add", name, "--timeout", commandTimeout.String()}
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		args = append(args, "--label", key+"="+labels[key])
	}
	for _, t := range taints {
		args = append(args, "--taint", t.Key+"="+t.Value+":"+string(t.Effect))
	}
	_, err := d.run(ctx, args...)
	return err
}

func (d *devcluster) remove(ctx context.Context, name string) error {
	_, err := d.run(ctx, "node", "remove", name, "--timeout", commandTimeout.String())
	if err == nil {
		return nil
	}
	if names, listErr := d.list(ctx); listErr == nil && !slices.Contains(names, name) {
		return nil
	}
	return err
}

func (d *devcluster) list(ctx context.Context) ([]string, error) {
	out, err := d.run(ctx, "status", "--output", "json")
	if err != nil {
		return nil, err
	}
	var status struct {
		Problem string `json:"problem"`
		Nodes   []struct {
			Name string `json:"name"`
		} `json:"nodes"`
	}
	if err := json.Unmarshal(out, &status); err != nil {
		return nil, fmt.Errorf("read the cluster's status: %w", err)
	}
	if status.Problem != "" {
		// A list that lacks nodes would make them look deleted.
		return nil, fmt.Errorf("the cluster does not answer: %s", status.Problem)
	}
	var names []string
	for _, n := range status.Nodes {
		names = append(names, n.Name)
	}
	return names, nil
}

func (d *devcluster) example(ctx context.Context) (*corev1.Node, error) {
	out, err := d.run(ctx, "kubectl", "--", "get", "nodes", "--output", "json")
	if err != nil {
		return nil, err
	}
	var list corev1.NodeList
	if err := json.Unmarshal(out, &list); err != nil {
		return nil, fmt.Errorf("read nodes: %w", err)
	}
	for i := range list.Items {
		for _, c := range list.Items[i].Status.Conditions {
			if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
				return &list.Items[i], nil
			}
		}
	}
	return nil, nil
}

func (d *devcluster) run(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, d.program, append([]string{"--dir", d.dir}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("devcluster %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.Bytes(), nil
}
