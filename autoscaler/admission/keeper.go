package admission

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/utils/clock"
)

// keeper keeps the keyring that this process serves by in step with the Secret that all replicas share.
type keeper struct {
	secrets typedcorev1.SecretInterface
	name    string
	hosts   []string
	clock   clock.PassiveClock
	logger  *slog.Logger
	// current is nil until the first refresh succeeded. It stays what it is while the API server is away.
	current atomic.Pointer[keyring]
}

// maxConflicts is how often in a row other replicas may be faster.
const maxConflicts = 8

// refresh reads the Secret, brings it up to date when that is due, and takes over what it holds.
func (k *keeper) refresh(ctx context.Context) error {
	for range maxConflicts {
		done, err := k.try(ctx)
		if err != nil || done {
			return err
		}
	}
	return fmt.Errorf("write secret %s: other replicas were faster %d times in a row", k.name, maxConflicts)
}

// try reports false when another replica was faster.
func (k *keeper) try(ctx context.Context) (bool, error) {
	secret, err := k.secrets.Get(ctx, k.name, metav1.GetOptions{})
	missing := apierrors.IsNotFound(err)
	if err != nil && !missing {
		return false, fmt.Errorf("read secret %s: %w", k.name, err)
	}
	var stored keyring
	if !missing {
		var problem error
		if stored, problem = decode(secret.Data); problem != nil {
			k.logger.Warn("the secret with the certificates is broken and will be mended", "secret", k.name, "err", problem)
		}
	} else if own := k.current.Load(); own != nil {
		// Somebody deleted it, maybe because a key got out: a new authority takes over, but what is served goes on until that one
		// is known.
		stored = keyring{authorities: own.authorities, serving: own.serving}
	}
	next, why, err := stored.next(k.clock.Now(), k.hosts)
	if err != nil {
		return false, err
	}
	if why != "" {
		if done, err := k.write(ctx, secret, missing, next); err != nil || !done {
			return false, err
		}
		k.logger.Info("certificates of the admission webhook renewed", "secret", k.name, "reason", why, "until", next.serving.Leaf.NotAfter)
	}
	k.current.Store(&next)
	return true, nil
}

func (k *keeper) write(ctx context.Context, secret *corev1.Secret, missing bool, next keyring) (bool, error) {
	data, err := next.encode()
	if err != nil {
		return false, err
	}
	if missing {
		_, err = k.secrets.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: k.name, Labels: map[string]string{"app.kubernetes.io/managed-by": FieldManager}},
			Type:       corev1.SecretTypeTLS, Data: data,
		}, metav1.CreateOptions{FieldManager: FieldManager})
	} else {
		// The resource version goes with it: of two replicas that find the same certificate old, one wins and both serve its.
		secret = secret.DeepCopy()
		if secret.Data == nil {
			secret.Data = map[string][]byte{}
		}
		maps.Copy(secret.Data, data)
		_, err = k.secrets.Update(ctx, secret, metav1.UpdateOptions{FieldManager: FieldManager})
	}
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || (apierrors.IsNotFound(err) && !missing) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("write secret %s: %w", k.name, err)
	}
	return true, nil
}

var errNoCertificate = errors.New("there is no certificate yet")

// certificate is what a TLS server serves now.
func (k *keeper) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if ring := k.current.Load(); ring != nil {
		return ring.serving, nil
	}
	return nil, errNoCertificate
}

// bundle is whom the API server must trust, nil when that is not known yet.
func (k *keeper) bundle() []byte {
	if ring := k.current.Load(); ring != nil {
		return ring.bundle()
	}
	return nil
}

// acceptedBy reports whether somebody who trusts a bundle accepts what is served now.
func (k *keeper) acceptedBy(bundle []byte, now time.Time) bool {
	ring := k.current.Load()
	if ring == nil || len(bytes.TrimSpace(bundle)) == 0 {
		return false
	}
	trusting, _ := decode(map[string][]byte{authoritiesKey: bundle})
	trusting.serving = ring.serving
	return trusting.trusted(now)
}
