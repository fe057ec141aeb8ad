package kmshttp

import (
	"net/http"
	"time"
)

// Limits of a server's connections.
const (
	headerTime  = 10 * time.Second // until the headers of a request are there
	idleTime    = 2 * time.Minute  // between two requests
	answerTime  = 2 * requestTime  // until an answer is taken, from the end of the headers
	headerBytes = 64 << 10
)

// NewServer returns a server of a handler, usually one that a [Handler] is part of, with limits that keep slow or broken clients from holding it up: on the time for the
// headers, for the answer and between requests, and on the size of the headers. It listens nowhere yet: set its TLSConfig, and call its Serve or ServeTLS.
func NewServer(handler http.Handler) *http.Server {
	return &http.Server{Handler: handler, ReadHeaderTimeout: headerTime, WriteTimeout: answerTime, IdleTimeout: idleTime, MaxHeaderBytes: headerBytes}
}
