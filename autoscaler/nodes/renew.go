package nodes

import (
	"context"
	"time"
)

func (c *Controller) renew(ctx context.Context, now time.Time) {}
