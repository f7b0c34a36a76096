// SPDX-License-Identifier: Apache-2.0
package main

import (
	"io"
	"log"
	"net/http"
	"os"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/h2c"
)

func main() {
	answer := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"id":7,"name":"benchmark"}`)
	}
	address := "127.0.0.1:" + os.Args[1]
	log.Fatal(http.ListenAndServe(address, h2c.NewHandler(http.HandlerFunc(answer), &http2.Server{})))
}
