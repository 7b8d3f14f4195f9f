package admission

import (
	"crypto/x509"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

func fresh(t *testing.T, now time.Time, hosts ...string) keyring {
	t.Helper()
	k, why, err := keyring{}.next(now, hosts)
	require.NoError(t, err)
	require.Equal(t, "there is no authority; no valid certificate is served", why)
	return k
}

// settled is the keyring a step later, which must not change it.
func settled(t *testing.T, k keyring, now time.Time, hosts ...string) {
	t.Helper()
	_, why, err := k.next(now, hosts)
	require.NoError(t, err)
	assert.Empty(t, why)
}

func TestKeyringIsMadeOnce(t *testing.T) {
	k := fresh(t, epoch, "hook.yagura.svc", "127.0.0.1")
	settled(t, k, epoch, "hook.yagura.svc", "127.0.0.1")
	settled(t, k, epoch.Add(200*day), "hook.yagura.svc")
	for _, host := range []string{"hook.yagura.svc", "127.0.0.1"} {
		assert.NoError(t, k.serving.Leaf.VerifyHostname(host))
	}
	assert.Equal(t, servingLife, k.serving.Leaf.NotAfter.Sub(epoch))
}

func TestKeyringRenewsLongBeforeTheEnd(t *testing.T) {
	k := fresh(t, epoch, "a")
	now := epoch.Add(servingLife*2/3 + time.Hour)
	next, why, err := k.next(now, []string{"a"})
	require.NoError(t, err)
	assert.Equal(t, "the certificate is getting old", why)
	assert.Equal(t, k.bundle(), next.bundle(), "whom to trust stays")
	assert.True(t, next.trusted(now))
	settled(t, next, now, "a")
}

// TestKeyringIsAlwaysTrusted lives through ten years in steps of five days: what is served is at any time trusted by somebody who
// was told whom to trust a step before, which is more than the API server is ever behind.
func TestKeyringIsAlwaysTrusted(t *testing.T) {
	k := fresh(t, epoch, "a")
	changes := map[string]int{}
	for n := range 2 * 365 {
		now := epoch.Add(time.Duration(5*n) * day)
		next, why, err := k.next(now, []string{"a"})
		require.NoError(t, err)
		if why != "" {
			changes[why]++
		}
		believer := keyring{authorities: k.authorities, serving: next.serving}
		require.True(t, believer.trusted(now), "day %d: %s", 5*n, why)
		require.Greater(t, next.serving.Leaf.NotAfter.Sub(now), servingLife/4)
		require.LessOrEqual(t, len(next.authorities), maxAuthorities)
		k = next
	}
	assert.Equal(t, 6, changes["the authority is getting old"])
	assert.Equal(t, 6, changes["the certificate is of an earlier authority"], "one step after each of them")
	assert.Positive(t, changes["the certificate is getting old"])
}

func TestKeyringAddsNames(t *testing.T) {
	k := fresh(t, epoch, "old.svc")
	now := epoch.Add(day)
	next, why, err := k.next(now, []string{"new.svc"})
	require.NoError(t, err)
	assert.Equal(t, "the certificate is not for new.svc", why)
	settled(t, next, now, "new.svc")
	settled(t, next, now, "old.svc") // so that replicas before and after a change do not take turns
}

func TestKeyringMendsWhatIsBroken(t *testing.T) {
	whole := fresh(t, epoch, "a")
	data, err := whole.encode()
	require.NoError(t, err)
	again, err := decode(data)
	require.NoError(t, err)
	settled(t, again, epoch, "a")
	require.Equal(t, whole.bundle(), again.bundle())

	other, err := fresh(t, epoch, "a").encode()
	require.NoError(t, err)
	for name, tc := range map[string]struct {
		edit    func(map[string][]byte)
		problem string
		why     string
		keeps   bool
	}{
		"empty":            {edit: func(m map[string][]byte) { clear(m) }, why: "there is no authority; no valid certificate is served"},
		"authorities gone": {edit: func(m map[string][]byte) { delete(m, authoritiesKey) }, why: "there is no authority; no valid certificate is served"},
		"authority's key":  {edit: func(m map[string][]byte) { delete(m, authorityKeyKey) }, why: "the authority's key is missing", keeps: true},
		"another's key":    {edit: func(m map[string][]byte) { m[authorityKeyKey] = other[authorityKeyKey] }, why: "the authority's key is missing", keeps: true},
		"serving key":      {edit: func(m map[string][]byte) { m[servingKeyKey] = other[servingKeyKey] }, problem: "tls.crt", why: "no valid certificate is served"},
		"rubbish":          {edit: func(m map[string][]byte) { m[servingKey] = []byte("rubbish") }, problem: "tls.crt", why: "no valid certificate is served"},
		"a leaf as an authority": {edit: func(m map[string][]byte) { m[authoritiesKey] = m[servingKey] }, problem: "is no authority",
			why: "there is no authority; no valid certificate is served"},
		"another's authority": {edit: func(m map[string][]byte) {
			m[authoritiesKey], m[authorityKeyKey] = other[authoritiesKey], other[authorityKeyKey]
		},
			why: "no valid certificate is served"},
	} {
		t.Run(name, func(t *testing.T) {
			data, err := whole.encode()
			require.NoError(t, err)
			tc.edit(data)
			broken, err := decode(data)
			if tc.problem == "" {
				assert.NoError(t, err)
			} else {
				assert.ErrorContains(t, err, tc.problem)
			}
			next, why, err := broken.next(epoch, []string{"a"})
			require.NoError(t, err)
			assert.Equal(t, tc.why, why)
			assert.True(t, next.trusted(epoch))
			assert.Equal(t, tc.keeps, next.serving.Leaf.Equal(whole.serving.Leaf), "what is still good goes on until a new authority is known")
			settled(t, next, epoch, "a")
		})
	}
}

// TestKeyringSurvivesClocks: a clock that jumps ahead for a while must not leave the replicas without a certificate afterwards.
func TestKeyringSurvivesClocks(t *testing.T) {
	k := fresh(t, epoch, "a")
	ahead := epoch.Add(20 * 365 * day)
	k, _, err := k.next(ahead, []string{"a"})
	require.NoError(t, err)
	require.True(t, k.trusted(ahead))
	k, _, err = k.next(epoch, []string{"a"})
	require.NoError(t, err)
	require.True(t, k.trusted(epoch))
	settled(t, k, epoch, "a")
}

func FuzzDecode(f *testing.F) {
	k, _, err := keyring{}.next(epoch, []string{"a"})
	require.NoError(f, err)
	data, err := k.encode()
	require.NoError(f, err)
	f.Add(data[authoritiesKey], data[authorityKeyKey], data[servingKey], data[servingKeyKey])
	f.Add([]byte{}, []byte("x"), data[servingKey], data[authorityKeyKey])
	f.Fuzz(func(t *testing.T, authorities, key, serving, servingKeyPEM []byte) {
		k, _ := decode(map[string][]byte{authoritiesKey: authorities, authorityKeyKey: key, servingKey: serving, servingKeyKey: servingKeyPEM})
		next, _, err := k.next(epoch, []string{"a"})
		if err != nil {
			t.Fatalf("nothing was made of it: %v", err)
		}
		if !next.trusted(epoch) {
			t.Fatal("what is served is not trusted")
		}
		if _, err := next.encode(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestServingCertificateIsNoAuthority(t *testing.T) {
	k := fresh(t, epoch, "a")
	assert.False(t, k.serving.Leaf.IsCA)
	assert.Equal(t, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, k.serving.Leaf.ExtKeyUsage)
}
