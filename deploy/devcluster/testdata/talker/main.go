// Command talker is what the tests run in pods: without arguments it serves
// HTTP on port 8080 and prints a line; with them it does one thing and ends.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "talker:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 0:
		return serve()
	case args[0] == "get" && len(args) == 2:
		return get(http.DefaultTransport, args[1], "")
	case args[0] == "apiserver":
		return askAPIServer()
	case args[0] == "eat":
		return eat()
	}
	return errors.New("usage: talker [get URL | apiserver | eat]")
}

func serve() error {
	hostname, err := os.Hostname()
	if err != nil {
		return err
	}
	fmt.Println("hello from", hostname)
	return http.ListenAndServe(":8080", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, hostname)
	}))
}

func get(transport http.RoundTripper, url, token string) error {
	client := http.Client{Transport: transport, Timeout: 5 * time.Second}
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	_, err = io.Copy(os.Stdout, response.Body)
	return err
}

// askAPIServer reads the API server's version as every program in a pod would.
func askAPIServer() error {
	const account = "/var/run/secrets/kubernetes.io/serviceaccount/"
	ca, err := os.ReadFile(account + "ca.crt")
	if err != nil {
		return err
	}
	token, err := os.ReadFile(account + "token")
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	host := net.JoinHostPort(os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT"))
	return get(&http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}, "https://"+host+"/api", string(token))
}

// eat takes memory until it is killed for it.
func eat() error {
	var eaten [][]byte
	for range 1024 {
		block := make([]byte, 1<<20)
		for i := range block {
			block[i] = 1
		}
		eaten = append(eaten, block)
	}
	return fmt.Errorf("still alive after %d MiB", len(eaten))
}
