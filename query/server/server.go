package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/model"
)

// Config bounds the server.
type Config struct {
	// ReadTimeout bounds how long a request may take to arrive. Default 1m.
	ReadTimeout model.Duration `json:"readTimeout"`
	// WriteTimeout bounds how long a request may be worked on and answered; rooms
	// have shorter limits of their own. Default 5m.
	WriteTimeout model.Duration `json:"writeTimeout"`
	// DrainTimeout is how long requests may go on after the server was told to stop.
	// Default 10s.
	DrainTimeout model.Duration `json:"drainTimeout"`
}

// DefaultConfig returns the defaults that the fields of Config name.
func DefaultConfig() Config {
	return Config{
		ReadTimeout:  model.Duration(time.Minute),
		WriteTimeout: model.Duration(5 * time.Minute),
		DrainTimeout: model.Duration(10 * time.Second),
	}
}

// Validate reports every setting that makes no sense.
func (c Config) Validate() error {
	var errs []error
	for _, f := range []struct {
		name  string
		value model.Duration
	}{{"readTimeout", c.ReadTimeout}, {"writeTimeout", c.WriteTimeout}, {"drainTimeout", c.DrainTimeout}} {
		if f.value <= 0 {
			errs = append(errs, fmt.Errorf("%s: want more than 0, got %s", f.name, f.value))
		}
	}
	return errors.Join(errs...)
}

// Routes is a room that serves HTTP below a prefix.
type Routes interface {
	Register(g *echo.Group)
}

// Mount is a room and the prefix of its paths, as "/loki". An empty prefix is the
// root.
type Mount struct {
	Prefix string
	Routes Routes
}

// Options is what the server needs from the process it runs in.
type Options struct {
	Config     Config
	Mounts     []Mount
	UI         fs.FS // with index.html at its root, or nothing when it was not built
	Ready      func() error
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Gatherer   prometheus.Gatherer // what /metrics shows
}

// Server answers requests. It is safe for concurrent use.
type Server struct {
	cfg    Config
	echo   *echo.Echo
	logger *slog.Logger

	instrumentation *instrumentation
}

// New mounts everything. It does not listen yet.
func New(o Options) (*Server, error) {
	m, err := newInstrumentation(o.Registerer)
	if err != nil {
		return nil, err
	}
	e := echo.New()
	s := &Server{cfg: o.Config, echo: e, logger: o.Logger, instrumentation: m}
	s.Protect(e)
	e.Use(securityHeaders)

	e.GET("/healthz", func(c echo.Context) error { return c.String(http.StatusOK, "ok\n") })
	ready := func(yes string) echo.HandlerFunc {
		return func(c echo.Context) error {
			if err := o.Ready(); err != nil {
				return c.String(http.StatusServiceUnavailable, err.Error()+"\n")
			}
			return c.String(http.StatusOK, yes+"\n")
		}
	}
	e.GET("/readyz", ready("ok"))
	e.GET("/ready", ready("ready")) // what Loki's and Tempo's clients ask, whatever the prefix
	e.GET("/metrics", echo.WrapHandler(promhttp.HandlerFor(o.Gatherer, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(o.Logger.Handler(), slog.LevelWarn), EnableOpenMetrics: true,
	})))
	e.GET("/api/openapi.yaml", func(c echo.Context) error {
		return c.Blob(http.StatusOK, "application/yaml", openAPI)
	})
	for _, mount := range o.Mounts {
		mount.Routes.Register(e.Group(mount.Prefix))
	}
	ui, err := newInterface(o.UI)
	if err != nil {
		return nil, err
	}
	e.GET("/*", ui.serve)
	e.HEAD("/*", ui.serve)
	return s, nil
}

// Protect gives another echo, for a listener of its own, the error answers, request
// metrics and recovery from panics that this server's requests have.
func (s *Server) Protect(e *echo.Echo) {
	e.HideBanner, e.HidePort = true, true
	e.HTTPErrorHandler = errorHandler(s.logger)
	e.Use(s.instrumentation.observe(s.logger), recoverPanics(s.logger, s.instrumentation))
}

// Handler is the server without its listener, for tests.
func (s *Server) Handler() http.Handler { return s.echo }

// Paths lists method and path of every mounted route, in echo's notation.
func (s *Server) Paths() [][2]string {
	var out [][2]string
	for _, r := range s.echo.Routes() {
		out = append(out, [2]string{r.Method, r.Path})
	}
	return out
}

// Run serves on lis until ctx is done, then lets running requests end.
func (s *Server) Run(ctx context.Context, lis net.Listener) error {
	srv := &http.Server{
		Handler:           s.echo,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Duration(s.cfg.ReadTimeout),
		WriteTimeout:      time.Duration(s.cfg.WriteTimeout),
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(s.logger.Handler(), slog.LevelDebug),
	}
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Duration(s.cfg.DrainTimeout))
		defer cancel()
		err := srv.Shutdown(drain)
		if err != nil {
			err = errors.Join(fmt.Errorf("requests were cut off: %w", err), srv.Close())
		}
		stopped <- err
	})
	if err := srv.Serve(lis); !errors.Is(err, http.ErrServerClosed) {
		stop()
		return fmt.Errorf("serve HTTP on %s: %w", lis.Addr(), err)
	}
	return <-stopped
}
