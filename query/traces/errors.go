package traces

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/yagura-dev/yagura/query/columnar"
)

// ErrNotFound means that no span of the trace is stored.
var ErrNotFound = errors.New("trace not found")

// LimitError says which configured bound ended or refused a query.
type LimitError struct {
	Limit  string // the name of the field in Config
	Detail string
}

// Error names the limit, and says what to ask for instead.
func (e *LimitError) Error() string { return fmt.Sprintf("query refused by %s: %s", e.Limit, e.Detail) }

func timeoutError(d time.Duration) error {
	return &LimitError{Limit: "timeout", Detail: fmt.Sprintf("it ran longer than %s; shorten its time range or search for more", d)}
}

// explain gives the store's errors the names of the configuration.
func explain(ctx context.Context, err error) error {
	var limit *LimitError
	if cause := context.Cause(ctx); errors.As(cause, &limit) {
		return cause
	}
	var budget *columnar.BudgetError
	if !errors.As(err, &budget) {
		return err
	}
	name := map[string]string{"MaxBytes": "maxQueryBytes", "MaxRows": "maxQueryRows", "MaxStreams": "maxStreams"}[budget.Bound]
	if name == "" {
		name = budget.Bound
	}
	return &LimitError{Limit: name, Detail: fmt.Sprintf("it would read more than %d; shorten its time range", budget.Limit)}
}

// badRequest is a parameter that cannot be; its message names the parameter.
type badRequest struct{ err error }

func (e badRequest) Error() string { return e.err.Error() }
func (e badRequest) Unwrap() error { return e.err }

func badParam(name string, err error) error {
	return badRequest{fmt.Errorf("unable to parse param '%s': %w", name, err)}
}

// statusOf is the HTTP status of an error, with the word that metrics count it
// under.
func statusOf(err error) (status int, outcome string) {
	var limit *LimitError
	var bad badRequest
	switch {
	case err == nil:
		return http.StatusOK, "success"
	case errors.Is(err, ErrNotFound):
		return http.StatusNotFound, "not_found"
	case errors.As(err, &limit) && limit.Limit == "timeout":
		return http.StatusGatewayTimeout, "timeout"
	case errors.As(err, &limit):
		return http.StatusBadRequest, "limit"
	case errors.As(err, &bad):
		return http.StatusBadRequest, "bad_request"
	case errors.Is(err, ErrNoMetrics):
		return http.StatusNotImplemented, "unavailable"
	case errors.Is(err, columnar.ErrClosed):
		return http.StatusServiceUnavailable, "unavailable"
	case errors.Is(err, context.Canceled):
		return 499, "canceled" // what proxies log for a client that went away
	}
	return http.StatusInternalServerError, "error"
}
