// Recomputes a fit from its capsule: the mathematics of verifier.py, on arrays of arrays.
const zeros = (m, n) => Array.from({ length: m }, () => new Float64Array(n));
const transpose = (A) => Array.from(A[0] || [], (_, j) => A.map((row) => row[j]));
function times(A, B) {
  const out = zeros(A.length, (B[0] || []).length);
  A.forEach((row, i) => row.forEach((a, k) => {
    if (a !== 0) for (let j = 0; j < out[i].length; j++) out[i][j] += a * B[k][j];
  }));
  return out;
}
function choleskyFactor(A) {
  const L = zeros(A.length, A.length);
  for (let i = 0; i < A.length; i++) for (let j = 0; j <= i; j++) {
    let sum = A[i][j];
    for (let k = 0; k < j; k++) sum -= L[i][k] * L[j][k];
    L[i][j] = i === j ? Math.sqrt(sum) : sum / L[j][j];
  }
  return L;
}
function solveWith(L, B) { // (L L')^-1 B
  const n = L.length, X = B.map((row) => Float64Array.from(row)), w = (B[0] || []).length;
  for (let c = 0; c < w; c++) {
    for (let i = 0; i < n; i++) {
      for (let k = 0; k < i; k++) X[i][c] -= L[i][k] * X[k][c];
      X[i][c] /= L[i][i];
    }
    for (let i = n - 1; i >= 0; i--) {
      for (let k = i + 1; k < n; k++) X[i][c] -= L[k][i] * X[k][c];
      X[i][c] /= L[i][i];
    }
  }
  return X;
}
const identity = (n) => zeros(n, n).map((row, i) => { row[i] = 1; return row; });
const logDet = (L) => 2 * L.reduce((sum, row, i) => sum + Math.log(row[i]), 0);
const columns = (A, places) => A.map((row) => places.map((j) => row[j]));

function cellSums(s) {
  const kz = s.kz, d = s.basis.length, out = [];
  for (let c = 0; c < s.cells.rows.length; c++) {
    const P = zeros(kz, d);
    let row = 0;
    for (let a = 0; a < kz; a++) for (let b = a; b < d; b++, row++) {
      P[a][b] = s.cells.products[row][c];
      if (b < kz) P[b][a] = P[a][b];
    }
    out.push(P);
  }
  return out;
}

function recompute(capsule) {
  const s = capsule.statistics, terms = capsule.terms, fixed = capsule.fixed.places;
  const R = s.basis, d = R.length, kz = s.kz, p = fixed.length, REML = capsule.REML ? 1 : 0;
  const F = s.total.map((row, i) => row.map((x, j) => 0.5 * (x + s.total[j][i])));
  const X = columns(R, fixed), beta = new Float64Array(p);
  let e = R.map((row) => [row[d - 1]]);
  for (let round = 0; round < 2 && p; round++) {
    const XF = times(transpose(X), F);
    const step = solveWith(choleskyFactor(times(XF, X)), times(XF, e));
    const fit = times(X, step);
    e = e.map((row, i) => [row[0] - fit[i][0]]);
    step.forEach((row, j) => { beta[j] += row[0]; });
  }
  const C = R.map((_, i) => [...(X[i] || []), e[i][0]]);
  // Z'WZ, Z'W[X e] and Lambda, term by term and cell by cell
  let q = 0;
  const codes = terms.map((t) => s.cells.groups[t.group]);
  const starts = terms.map((t, i) => {
    const start = q;
    q += (codes[i].reduce((a, b) => Math.max(a, b), 0) + 1) * t.T.length;
    return start;
  });
  const A = zeros(q, q), B = zeros(q, p + 1), Lambda = zeros(q, q);
  const own = terms.map((t) => columns(R.slice(0, kz), t.places));
  cellSums(s).forEach((P, c) => terms.forEach((t, i) => {
    const left = times(transpose(own[i]), P), at = starts[i] + codes[i][c] * t.T.length;
    times(left, C).forEach((row, a) => row.forEach((x, b) => { B[at + a][b] += x; }));
    const half = left.map((row) => row.slice(0, kz));
    terms.forEach((other, j) => {
      const to = starts[j] + codes[j][c] * other.T.length;
      times(half, own[j]).forEach((row, a) => row.forEach((x, b) => { A[at + a][to + b] += x; }));
    });
  }));
  const ends = [...starts.slice(1), q];
  terms.forEach((t, i) => {
    const k = t.T.length;
    for (let at = starts[i]; at < ends[i]; at += k)
      t.T.forEach((row, a) => row.forEach((x, b) => { Lambda[at + a][at + b] = x; }));
  });
  const AL = times(A, Lambda), LB = times(transpose(Lambda), B);
  const M = times(transpose(Lambda), AL);
  for (let i = 0; i < q; i++) M[i][i] += 1;
  const L = choleskyFactor(M), u = solveWith(L, LB);
  const S = times(times(transpose(C), F), C), less = times(transpose(LB), u);
  S.forEach((row, i) => row.forEach((_, j) => { S[i][j] -= less[i][j]; }));
  const xx = S.slice(0, p).map((row) => row.slice(0, p)), factor = choleskyFactor(xx);
  const step = solveWith(factor, S.slice(0, p).map((row) => [row[p]])), df = s.n - REML * p;
  const rss = step.reduce((sum, row, j) => sum - S[j][p] * row[0], S[p][p]);
  const criterion = logDet(L) + REML * logDet(factor)
    + df * (1 + Math.log(2 * Math.PI * rss / df)) - s.sum_log_w;
  // derivative in Lambda, then in theta
  const v = [...step.map((row) => -row[0]), 1], inverse = solveWith(factor, identity(p));
  const bar = v.map((a, i) => v.map((b, j) =>
    df / rss * a * b + (REML && i < p && j < p ? inverse[i][j] : 0)));
  const first = times(AL, solveWith(L, identity(q))), ALu = times(AL, u);
  const left = B.map((row, i) => row.map((x, j) => x - ALu[i][j]));
  const second = times(times(left, bar), transpose(u));
  let steepest = 0;
  terms.forEach((t, i) => t.slopes.forEach((slope) => {
    const k = t.T.length;
    let sum = 0;
    for (let at = starts[i]; at < ends[i]; at += k)
      slope.forEach((row, a) => row.forEach((x, b) => {
        sum += 2 * (first[at + a][at + b] - second[at + a][at + b]) * x;
      }));
    steepest = Math.max(steepest, Math.abs(sum));
  }));
  return {
    criterion, steepest, sigma: Math.sqrt(rss / df),
    beta: step.map((row, j) => beta[j] + row[0]),
    stdError: inverse.map((row, j) => Math.sqrt(rss / df * row[j])),
  };
}
