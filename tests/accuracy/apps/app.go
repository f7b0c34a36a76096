// SPDX-License-Identifier: Apache-2.0
package main

import (
	"compress/gzip"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A response writer that knows its status, and still sends files by sendfile.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) ReadFrom(from io.Reader) (int64, error) {
	return r.ResponseWriter.(io.ReaderFrom).ReadFrom(from)
}

func sendFile(w http.ResponseWriter, r *http.Request, folder string) {
	name := filepath.Base(r.URL.Path)
	w.Header().Set("ETag", `"`+name+`"`)
	path := filepath.Join(folder, name)
	if strings.HasSuffix(name, ".txt") && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		text, err := os.ReadFile(path)
		if err != nil {
			panic(err)
		}
		w.Header().Set("Content-Encoding", "gzip")
		packed := gzip.NewWriter(w)
		packed.Write(text)
		packed.Close()
		return
	}
	http.ServeFile(w, r, path)
}

func tunnel(w http.ResponseWriter, head string) {
	conn, buffered, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	io.WriteString(conn, head)
	io.Copy(conn, buffered)
}

func main() {
	log.SetFlags(0)
	folder := os.Args[3]
	answer := func(w http.ResponseWriter, r *http.Request) int {
		if r.Method == "CONNECT" {
			tunnel(w, "HTTP/1.1 200 Connection established\r\n\r\n")
			return 200
		}
		if r.Header.Get("Upgrade") != "" {
			key := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
			tunnel(w, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
				"Sec-WebSocket-Accept: "+base64.StdEncoding.EncodeToString(key[:])+"\r\n\r\n")
			return 101
		}
		io.Copy(io.Discard, r.Body)
		seen := &recorder{w, 200}
		if strings.HasPrefix(r.URL.Path, "/files/") {
			sendFile(seen, r, folder)
		} else {
			if status, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/status/")); err == nil {
				seen.WriteHeader(status)
			}
			io.WriteString(seen, "ok\n")
		}
		return seen.status
	}
	log.Fatal(http.ListenAndServe(os.Args[1]+":"+os.Args[2], http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		log.Print(fmt.Sprintf(`"%s %s %s" %d`, r.Method, r.RequestURI, r.Proto, answer(w, r)))
	})))
}
