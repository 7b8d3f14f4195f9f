package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
)

// ErrConflict means that somebody else has written since the ledger was read: read it again.
var ErrConflict = errors.New("the ledger was changed by another")

// Store keeps the ledgers of one provider's groups, each in a ConfigMap, whose key ledger holds it as JSON.
type Store struct {
	// Client reads past any cache.
	Client    client.Client
	Namespace string
	// Provider is its name.
	Provider string
}

const (
	ledgerKey     = "ledger"
	groupKey      = "group"
	providerLabel = v1alpha1.GroupName + "/provider-ledger"
)

// Version is what a ledger was read as.
type Version struct{ resourceVersion string }

// Load reads a group's ledger, an empty one if there is none.
func (s *Store) Load(ctx context.Context, group string) (*Ledger, Version, error) {
	object := &corev1.ConfigMap{}
	err := s.Client.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: s.name(group)}, object)
	if apierrors.IsNotFound(err) {
		return &Ledger{}, Version{}, nil
	}
	if err != nil {
		return nil, Version{}, fmt.Errorf("read the ledger of group %s: %w", group, err)
	}
	l := &Ledger{}
	// One that cannot be read must not be taken for an empty one: machines would be bought twice.
	if err := json.Unmarshal([]byte(object.Data[ledgerKey]), l); err != nil {
		return nil, Version{}, fmt.Errorf("read the ledger of group %s in ConfigMap %s/%s: %w", group, object.Namespace, object.Name, err)
	}
	return l, Version{object.ResourceVersion}, nil
}

// Save writes a group's ledger if nobody has written it since it was read, and fails with ErrConflict otherwise.
func (s *Store) Save(ctx context.Context, group string, l *Ledger, v Version) (Version, error) {
	text, err := json.Marshal(l)
	if err != nil {
		return v, fmt.Errorf("write the ledger of group %s: %w", group, err)
	}
	object := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: s.Namespace, Name: s.name(group), ResourceVersion: v.resourceVersion,
			Labels: map[string]string{providerLabel: s.Provider},
		},
		Data: map[string]string{groupKey: group, ledgerKey: string(text)},
	}
	if v.resourceVersion == "" {
		err = s.Client.Create(ctx, object)
	} else {
		err = s.Client.Update(ctx, object)
	}
	switch {
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err), apierrors.IsNotFound(err) && v.resourceVersion != "":
		return v, ErrConflict
	case err != nil:
		return v, fmt.Errorf("write the ledger of group %s: %w", group, err)
	}
	return Version{object.ResourceVersion}, nil
}

// Groups are those that have a ledger.
func (s *Store) Groups(ctx context.Context) ([]string, error) {
	var list corev1.ConfigMapList
	if err := s.Client.List(ctx, &list, client.InNamespace(s.Namespace), client.MatchingLabels{providerLabel: s.Provider}); err != nil {
		return nil, fmt.Errorf("list ledgers: %w", err)
	}
	var out []string
	for i := range list.Items {
		out = append(out, list.Items[i].Data[groupKey])
	}
	return out, nil
}

// name is a group's ConfigMap. Groups have names of any form: those of some clouds are paths.
func (s *Store) name(group string) string {
	sum := sha256.Sum256([]byte(s.Provider + "/" + group))
	return "yagura-nodes-" + s.Provider + "-" + hex.EncodeToString(sum[:6])
}
