// SPDX-License-Identifier: Apache-2.0
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/status"
)

// Messages are plain bytes, under the name of the codec that everybody takes.
type plain struct{}

func (plain) Marshal(v interface{}) ([]byte, error) { return *v.(*[]byte), nil }

func (plain) Unmarshal(data []byte, v interface{}) error {
	*v.(*[]byte) = append([]byte(nil), data...)
	return nil
}

func (plain) Name() string { return "proto" }

func answer(_ interface{}, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	var first, message []byte
	for {
		err := stream.RecvMsg(&message)
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if first == nil {
			first = message
		}
	}
	end := codes.Code(first[0])
	answers := 0
	if strings.HasSuffix(method, "_stream") {
		answers = 3
	} else if end == codes.OK {
		answers = 1
	}
	for ; answers > 0; answers-- {
		message = []byte("answer")
		if err := stream.SendMsg(&message); err != nil {
			return err
		}
	}
	log.Printf(`"POST %s HTTP/2.0" 200 %d`, method, end)
	return status.Error(end, "")
}

func ended(connection *grpc.ClientConn, form string, end int) codes.Code {
	desc := &grpc.StreamDesc{
		ClientStreams: strings.HasPrefix(form, "stream_"),
		ServerStreams: strings.HasSuffix(form, "_stream"),
	}
	stream, err := connection.NewStream(context.Background(), desc, "/test.Calls/"+form)
	if err != nil {
		return status.Code(err)
	}
	requests := 1
	if desc.ClientStreams {
		requests = 3
	}
	for ; requests > 0; requests-- {
		message := []byte{byte(end)}
		if err := stream.SendMsg(&message); err != nil && err != io.EOF {
			return status.Code(err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		return status.Code(err)
	}
	for {
		var message []byte
		err := stream.RecvMsg(&message)
		if err == io.EOF || err == nil && !desc.ServerStreams {
			return codes.OK
		}
		if err != nil {
			return status.Code(err)
		}
	}
}

func call(address string, certificate []string) {
	how := grpc.WithInsecure()
	if len(certificate) > 0 {
		tls, err := credentials.NewClientTLSFromFile(certificate[0], "")
		if err != nil {
			log.Fatal(err)
		}
		how = grpc.WithTransportCredentials(tls)
	}
	connection, err := grpc.Dial(address, how)
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()
	counts := [5]int{2, 3, 5, 7, 11}
	for _, form := range []string{"unary_unary", "unary_stream", "stream_unary", "stream_stream"} {
		for end := 0; end <= 16; end++ {
			var group sync.WaitGroup
			for i := 0; i < counts[end%5]; i++ {
				group.Add(1)
				go func() {
					defer group.Done()
					fmt.Printf("POST 2 200 %d\n", ended(connection, form, end))
				}()
			}
			group.Wait()
		}
	}
}

func main() {
	log.SetFlags(0)
	encoding.RegisterCodec(plain{})
	address := os.Args[2] + ":" + os.Args[3]
	if os.Args[1] == "call" {
		call(address, os.Args[4:])
		return
	}
	options := []grpc.ServerOption{grpc.UnknownServiceHandler(answer)}
	if len(os.Args) > 4 {
		tls, err := credentials.NewServerTLSFromFile(os.Args[4], os.Args[5])
		if err != nil {
			log.Fatal(err)
		}
		options = append(options, grpc.Creds(tls))
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(grpc.NewServer(options...).Serve(listener))
}
