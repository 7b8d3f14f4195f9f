package kwok

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"

	"sigs.k8s.io/yaml"

	"github.com/yagura-dev/yagura/autoscaler/api/v1alpha1"
	"github.com/yagura-dev/yagura/autoscaler/cluster"
	"github.com/yagura-dev/yagura/autoscaler/cluster/catalog"
)

// load reads what is sold.
func load(cfg Config) ([]cluster.Offer, error) {
	instances := cfg.Instances
	if len(instances) == 0 && cfg.Catalog == "" {
		instances = General()
	}
	var out []cluster.Offer
	for _, i := range instances {
		out = append(out, i.offers()...)
	}
	if cfg.Catalog == "" {
		return out, nil
	}
	file, err := os.Open(cfg.Catalog)
	if err != nil {
		return nil, fmt.Errorf("catalog: %w", err)
	}
	defer file.Close()
	read, err := catalog.Read(file)
	if err != nil {
		return nil, fmt.Errorf("catalog %s: %w", cfg.Catalog, err)
	}
	return append(out, read...), nil
}

// faults are those that apply now.
func (p *Provider) faults() ([]Fault, error) {
	if p.cfg.FaultsFile == "" {
		return p.cfg.Faults, nil
	}
	text, err := os.ReadFile(p.cfg.FaultsFile)
	if errors.Is(err, fs.ErrNotExist) {
		return p.cfg.Faults, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read faults: %w", err)
	}
	var more []Fault
	if err := yaml.UnmarshalStrict(text, &more); err != nil {
		return nil, fmt.Errorf("read faults in %s: %w", p.cfg.FaultsFile, err)
	}
	for i, f := range more {
		if err := f.validate(); err != nil {
			return nil, fmt.Errorf("read faults in %s: [%d].%w", p.cfg.FaultsFile, i, err)
		}
	}
	return append(more, p.cfg.Faults...), nil
}

// fault is what happens to a claim, empty for nothing.
func (p *Provider) fault(claim *v1alpha1.NodeClaim) (FaultKind, error) {
	faults, err := p.faults()
	if err != nil {
		return "", err
	}
	for _, f := range faults {
		if f.matches(&claim.Spec.Offer) && f.strikes(claim.Name) {
			return f.Kind, nil
		}
	}
	return "", nil
}

func (f Fault) matches(o *v1alpha1.ClaimedOffer) bool {
	return (f.Offer == "" || f.Offer == o.Name) && (f.Zone == "" || f.Zone == o.Zone) &&
		(f.CapacityType == "" || f.CapacityType == o.CapacityType)
}

// certain faults happen to every claim.
func (f Fault) certain() bool { return f.Percent == 0 || f.Percent == 100 }

// strikes says whether a claim is among those that the fault happens to: always the same ones, so that a run can be repeated.
func (f Fault) strikes(claim string) bool {
	if f.certain() {
		return true
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(claim))
	// The low bits of names that differ in their last digit only are not spread well.
	return int((h.Sum32()*2654435761>>16)%100) < f.Percent
}
