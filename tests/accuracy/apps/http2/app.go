// SPDX-License-Identifier: Apache-2.0
package main

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/h2c"
)

type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

func serve(address string, folder string) {
	answer := func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		seen := &recorder{w, 200}
		if strings.HasPrefix(r.URL.Path, "/files/") {
			name := filepath.Base(r.URL.Path)
			seen.Header().Set("ETag", `"`+name+`"`)
			http.ServeFile(seen, r, filepath.Join(folder, name))
		} else {
			if status, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/status/")); err == nil {
				seen.WriteHeader(status)
			}
			io.WriteString(seen, "ok\n")
		}
		log.Printf(`"%s %s %s" %d`, r.Method, r.RequestURI, r.Proto, seen.status)
	}
	log.Fatal(http.ListenAndServe(address, h2c.NewHandler(http.HandlerFunc(answer), &http2.Server{})))
}

func call(address string, folder string) {
	frames, err := os.ReadFile(filepath.Join(folder, "frames"))
	if err != nil {
		log.Fatal(err)
	}
	client := &http.Client{Transport: &http2.Transport{
		AllowHTTP: true,
		DialTLS: func(network, address string, _ *tls.Config) (net.Conn, error) {
			return net.Dial(network, address)
		},
	}}
	ask := func(method string, path string, body []byte) {
		request, err := http.NewRequest(method, "http://"+address+path, bytes.NewReader(body))
		if err != nil {
			log.Fatal(err)
		}
		response, err := client.Do(request)
		if err != nil {
			log.Fatal(err)
		}
		io.Copy(io.Discard, response.Body)
		response.Body.Close()
		fmt.Printf("%s %d %d\n", method, response.ProtoMajor, response.StatusCode)
	}
	repeat := func(n int, method string, path string, body []byte) {
		for i := 0; i < n; i++ {
			ask(method, path, body)
		}
	}
	repeat(127, "GET", "/", nil)
	var group sync.WaitGroup
	for i := 0; i < 97; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			ask("GET", "/", nil)
		}()
	}
	group.Wait()
	for i := 0; i < 16; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			runtime.LockOSThread()
			repeat(31, "GET", "/", nil)
		}()
	}
	group.Wait()
	for _, status := range []int{202, 204, 404, 410, 500, 503} {
		repeat(5, "GET", fmt.Sprintf("/status/%d", status), nil)
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"} {
		repeat(3, method, "/", nil)
	}
	repeat(11, "PUT", "/upload/file", frames)
	repeat(7, "GET", "/files/frames", nil)
}

func main() {
	log.SetFlags(0)
	address := os.Args[2] + ":" + os.Args[3]
	if os.Args[1] == "serve" {
		serve(address, os.Args[4])
	} else {
		call(address, os.Args[4])
	}
}
