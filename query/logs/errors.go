package logs

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/grafana/loki/v3/pkg/util/server"

	"github.com/yagura-dev/yagura/query/columnar"
)

// LimitError says which configured bound ended or refused a query.
type LimitError struct {
	Limit  string // the name of the field in Config, or "templates"
	Detail string
}

// Error implements error: the bound's name and what was beyond it.
func (e *LimitError) Error() string { return fmt.Sprintf("query refused by %s: %s", e.Limit, e.Detail) }

func timeoutError(d time.Duration) error {
	return &LimitError{Limit: "timeout", Detail: fmt.Sprintf("it ran longer than %s; shorten its time range or add label matchers", d)}
}

// budgetError translates the store's bounds into the names of the configuration.
func budgetError(e *columnar.BudgetError) error {
	name := map[string]string{"MaxBytes": "maxQueryBytes", "MaxRows": "maxQueryRows", "MaxStreams": "maxStreams"}[e.Bound]
	if name == "" {
		name = e.Bound
	}
	return &LimitError{Limit: name, Detail: fmt.Sprintf("it would read more than %d; shorten its time range or add label matchers", e.Limit)}
}

// badRequest is a parameter that cannot be; its message names the parameter.
type badRequest struct{ err error }

func (e badRequest) Error() string { return e.err.Error() }
func (e badRequest) Unwrap() error { return e.err }

func badParam(name, format string, args ...any) error {
	return badRequest{fmt.Errorf("could not parse '%s' parameter: %w", name, fmt.Errorf(format, args...))}
}

// statusOf is the HTTP status of an error, as Loki maps them, with the text that
// the client gets and the word that metrics count it under.
func statusOf(err error) (status int, text, outcome string) {
	var limit *LimitError
	var bad badRequest
	switch {
	case err == nil:
		return http.StatusOK, "", "success"
	case errors.As(err, &limit) && limit.Limit == "timeout":
		return http.StatusGatewayTimeout, err.Error(), "timeout"
	case errors.As(err, &limit):
		return http.StatusBadRequest, err.Error(), "limit"
	case errors.As(err, &bad):
		return http.StatusBadRequest, err.Error(), "bad_request"
	case errors.Is(err, columnar.ErrTooLarge):
		return http.StatusBadRequest, err.Error(), "bad_request"
	case errors.Is(err, errMemoryBusy), errors.Is(err, columnar.ErrFull), errors.Is(err, columnar.ErrClosed), errors.Is(err, errTailersClosed):
		return http.StatusServiceUnavailable, err.Error(), "unavailable"
	case errors.Is(err, context.Canceled):
		return server.StatusClientClosedRequest, server.ErrClientCanceled, "canceled"
	}
	status, err = server.ClientHTTPStatusAndError(err)
	if status/100 == 4 {
		return status, err.Error(), "bad_request"
	}
	return status, err.Error(), "error"
}
