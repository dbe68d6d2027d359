"use strict";
// Welch's test on log p99 from counts, means and standard deviations. The same as lumavox_matrix.stats.welch.

const LEAST_SD = 1e-4; // a scripted clock has no noise
const LANCZOS = [76.18009172947146, -86.50532032941677, 24.01409824083091, -1.231739572450155,
  0.001208650973866179, -0.000005395239384953];

function logGamma(x) {
  let sum = 1.000000000190015;
  LANCZOS.forEach((c, i) => { sum += c / (x + 1 + i); });
  return (x + 0.5) * Math.log(x + 5.5) - (x + 5.5) + Math.log(2.5066282746310005 * sum / x);
}

// Regularized incomplete beta function, by its continued fraction.
function incompleteBeta(x, a, b) {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  if (x > (a + 1) / (a + b + 2)) return 1 - incompleteBeta(1 - x, b, a);
  const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log(1 - x)) / a;
  let c = 1, d = 1 / (1 - (a + b) * x / (a + 1)), result = d;
  for (let m = 1; m < 300; m++) {
    const even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / (1 + even * d); c = 1 + even / c; result *= d * c;
    const odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / (1 + odd * d); c = 1 + odd / c;
    const step = d * c;
    result *= step;
    if (Math.abs(step - 1) < 1e-12) break;
  }
  return front * result;
}

// {n, mean, sd} of log p99 -> {ratio, slower, faster} (one-sided p-values), null with too few runs
function welch(a, b) {
  if (!a || !b) return null;
  const ratio = Math.exp(b.mean - a.mean);
  if (a.n < 3 || b.n < 3) return { ratio, slower: null, faster: null };
  const [ea, eb] = [a, b].map((x) => Math.max(x.sd, LEAST_SD) ** 2 / x.n);
  const free = (ea + eb) ** 2 / (ea ** 2 / (a.n - 1) + eb ** 2 / (b.n - 1));
  const t = (b.mean - a.mean) / Math.sqrt(ea + eb);
  const tail = incompleteBeta(free / (free + t * t), free / 2, 0.5) / 2;
  return { ratio, slower: t > 0 ? tail : 1 - tail, faster: t > 0 ? 1 - tail : tail };
}

function holm(values) {
  const order = values.map((p, i) => [p, i]).sort((x, y) => x[0] - y[0]);
  const found = new Array(values.length);
  let largest = 0;
  order.forEach(([p, i], k) => { largest = Math.max(largest, p * (values.length - k)); found[i] = Math.min(1, largest); });
  return found;
}
