package gke

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"google.golang.org/api/googleapi"
)

// computeURL is Compute Engine's API. Of its client library, ten megabytes of generated code, six methods would be used: they are
// spoken here.
const computeURL = "https://compute.googleapis.com/compute/v1/"

// maxAnswer bounds an answer in bytes: a page of 500 instances with their errors.
const maxAnswer = 16 << 20

// manager is an instance group manager's address: one pool in one zone.
type manager struct{ project, zone, name string }

func (m manager) path() string {
	return "projects/" + m.project + "/zones/" + m.zone + "/instanceGroupManagers/" + m.name
}

// parseManager reads the URL of an instance group manager as a node pool names it.
func parseManager(url string) (manager, error) {
	_, rest, ok := strings.Cut(url, "/projects/")
	parts := strings.Split(rest, "/")
	if !ok || len(parts) != 5 || parts[1] != "zones" || parts[3] != "instanceGroupManagers" && parts[3] != "instanceGroups" {
		return manager{}, fmt.Errorf("%q is no zone's instance group", url)
	}
	return manager{project: parts[0], zone: parts[2], name: parts[4]}, nil
}

// groupManager is an InstanceGroupManager.
type groupManager struct {
	BaseInstanceName string `json:"baseInstanceName"`
	TargetSize       int    `json:"targetSize"`
}

// managedInstance is a ManagedInstance.
type managedInstance struct {
	Name           string `json:"name"`
	Instance       string `json:"instance"`
	InstanceStatus string `json:"instanceStatus"`
	CurrentAction  string `json:"currentAction"`
	LastAttempt    struct {
		Errors struct {
			Errors []struct {
				Code    string `json:"code"`
				Message string `json:"message"`
			} `json:"errors"`
		} `json:"errors"`
	} `json:"lastAttempt"`
}

// name is the last part of the instance's URL; the name's own field is missing while the instance is being made.
func (i managedInstance) name() string {
	if i.Name != "" {
		return i.Name
	}
	return i.Instance[strings.LastIndex(i.Instance, "/")+1:]
}

// machineType is a MachineType.
type machineType struct {
	GuestCpus    int64  `json:"guestCpus"`
	MemoryMb     int64  `json:"memoryMb"`
	Architecture string `json:"architecture"`
	Accelerators []struct {
		Type  string `json:"guestAcceleratorType"`
		Count int64  `json:"guestAcceleratorCount"`
	} `json:"accelerators"`
}

// instances are all of a manager's.
func (p *Provider) instances(ctx context.Context, m manager) ([]managedInstance, error) {
	var out []managedInstance
	for page := ""; ; {
		var answer struct {
			ManagedInstances []managedInstance `json:"managedInstances"`
			NextPageToken    string            `json:"nextPageToken"`
		}
		path := m.path() + "/listManagedInstances?maxResults=500"
		if page != "" {
			path += "&pageToken=" + page
		}
		if err := p.call(ctx, http.MethodPost, path, nil, &answer); err != nil {
			return nil, fmt.Errorf("list instances of %s: %w", m.name, err)
		}
		out = append(out, answer.ManagedInstances...)
		if page = answer.NextPageToken; page == "" {
			return out, nil
		}
	}
}

// call speaks one method. Errors of the API are *googleapi.Error.
func (p *Provider) call(ctx context.Context, method, path string, body, answer any) error {
	var reader io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		reader = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(ctx, method, p.compute+path, reader)
	if err != nil {
		return err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	response, err := p.http.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if err := googleapi.CheckResponse(response); err != nil {
		return err
	}
	if answer == nil {
		_, err = io.Copy(io.Discard, io.LimitReader(response.Body, maxAnswer))
		return err
	}
	return json.NewDecoder(io.LimitReader(response.Body, maxAnswer)).Decode(answer)
}
