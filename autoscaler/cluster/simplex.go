package cluster

import "math"

// maximize solves max gain·x with rows·x <= limits and x >= 0, where all limits are >= 0, so that x = 0 is a feasible start. It is
// the simplex method on a dictionary, for few variables and many rows: a step costs rows times variables. The answer is feasible
// also when the step limit ends the search early; an unbounded direction is left at zero.
func maximize(gain []float64, rows [][]float64, limits []float64) []float64 {
	n, m := len(gain), len(rows)
	// Row i says: basic[i] = limit[i] - Σ table[i][j] * nonbasic[j].
	table := make([][]float64, m)
	limit := append([]float64(nil), limits...)
	for i := range rows {
		table[i] = append([]float64(nil), rows[i]...)
	}
	z := append([]float64(nil), gain...)
	basic, nonbasic := make([]int, m), make([]int, n)
	for j := range nonbasic {
		nonbasic[j] = j
	}
	for i := range basic {
		basic[i] = n + i
	}
	for step := 0; step < 50*(n+1); step++ {
		enter, leave := entering(z, nonbasic, step > 10*(n+1)), -1
		if enter < 0 {
			break
		}
		best := math.Inf(1)
		for i := range table {
			if a := table[i][enter]; a > epsilon && limit[i]/a < best {
				best, leave = limit[i]/a, i
			}
		}
		if leave < 0 {
			z[enter] = 0 // nothing bounds it: nobody sells what it stands for
			continue
		}
		pivot(table, limit, z, leave, enter)
		basic[leave], nonbasic[enter] = nonbasic[enter], basic[leave]
	}
	x := make([]float64, n)
	for i, b := range basic {
		if b < n {
			x[b] = max(0, limit[i])
		}
	}
	return x
}

const epsilon = 1e-12

// entering picks the variable that gains most, or the first that gains anything, which cannot cycle.
func entering(z []float64, nonbasic []int, first bool) int {
	best := -1
	for j, g := range z {
		switch {
		case g <= 1e-9:
		case best < 0, first && nonbasic[j] < nonbasic[best], !first && g > z[best]:
			best = j
		}
	}
	return best
}

func pivot(table [][]float64, limit, z []float64, leave, enter int) {
	row := table[leave]
	p := row[enter]
	for j := range row {
		row[j] /= p
	}
	row[enter] = 1 / p
	limit[leave] /= p
	for i := range table {
		if i == leave {
			continue
		}
		a := table[i][enter]
		if a == 0 {
			continue
		}
		for j := range row {
			if j != enter {
				table[i][j] -= a * row[j]
			}
		}
		table[i][enter] = -a / p
		limit[i] = max(0, limit[i]-a*limit[leave])
	}
	a := z[enter]
	for j := range row {
		if j != enter {
			z[j] -= a * row[j]
		}
	}
	z[enter] = -a / p
}
