'use strict';
(() => {
const doc = document, root = doc.documentElement, $ = id => doc.getElementById(id);
root.classList.add('on');
const state = new URLSearchParams(location.hash.includes('=') ? location.hash.slice(1) : '');
// State lives in the part after #, so that a copied address shows the same view.
const keep = () => {
  for (const [k, v] of [...state]) if (!v) state.delete(k);
  const hash = state.toString();
  // A link to a part of the page stays while there is no state to keep.
  if (hash || location.hash.includes('=')) try { history.replaceState(null, '', hash ? '#' + hash : location.pathname + location.search); } catch (e) { location.hash = hash; }
  for (const a of doc.querySelectorAll('a.lang')) a.href = a.getAttribute('href').split('#')[0] + (hash ? '#' + hash : '');
};
const set = (k, v) => { v ? state.set(k, v) : state.delete(k); keep(); };

// Light and dark.
const theme = $('theme'), dark = matchMedia('(prefers-color-scheme: dark)');
const paint = () => {
  const t = state.get('theme');
  if (t === 'dark' || t === 'light') root.dataset.theme = t; else delete root.dataset.theme;
  theme.setAttribute('aria-pressed', String(t ? t === 'dark' : dark.matches));
};
theme.onclick = () => { set('theme', theme.getAttribute('aria-pressed') === 'true' ? 'light' : 'dark'); paint(); };
dark.onchange = paint;
paint();

// A link to the provenance of a row opens it.
const open = () => {
  const id = decodeURIComponent(location.hash.slice(1));
  const at = id && !id.includes('=') && $(id);
  for (let d = at; d; d = d.parentElement) if (d.tagName === 'DETAILS') d.open = true;
  if (at && at.tagName === 'DETAILS') { at.scrollIntoView(); at.querySelector('summary').focus({preventScroll: true}); }
};
addEventListener('hashchange', open);

const table = $('t');
if (!table) { keep(); open(); return; }
const head = table.tHead.rows[0], heads = [...head.cells], names = heads.map(h => h.dataset.c);
const bodies = [...table.tBodies].map(b => ({el: b, first: b.rows[0], rows: [...b.rows].slice(1)}));
const rows = bodies.flatMap(b => b.rows), home = new Map(bodies.map(b => [b, b.rows.slice()]));

// Sort: rows of one origin stay together.
const value = (row, c) => {
  const cell = row.cells[c];
  if (c === 1) return row.dataset.s ? +row.dataset.s : NaN;
  const text = (cell.firstChild ? cell.firstChild.textContent : '').trim();
  return heads[c].classList.contains('num') ? parseFloat(text.replace('−', '-')) : text.toLowerCase();
};
const known = [];
const values = c => known[c] ??= new Map(rows.map(r => [r, value(r, c)]));
const sort = () => {
  const [name, way] = (state.get('sort') || '').split('~'), c = names.indexOf(name), down = way !== 'up';
  heads.forEach((h, i) => i === c ? h.setAttribute('aria-sort', down ? 'descending' : 'ascending') : h.removeAttribute('aria-sort'));
  for (const b of bodies) {
    b.rows = home.get(b);
    if (c >= 0) {
      const keyed = b.rows.map((row, i) => [values(c).get(row), i, row]);
      const less = (x, y) => typeof x === 'number' ? (isNaN(x) - isNaN(y) || (down ? y - x : x - y)) : (!x - !y || (down ? 1 : -1) * (x < y ? -1 : x > y ? 1 : 0));
      b.rows = keyed.sort((x, y) => less(x[0], y[0]) || x[1] - y[1]).map(k => k[2]);
    }
    show(b);
  }
};
// Of each origin the first hundred stand in the document, until the reader asks for all.
const most = 100, more = $('more');
const show = b => {
  const on = b.rows.filter(r => !r.off), shown = state.get('all') ? on : on.slice(0, most);
  b.rest = on.length - shown.length;
  b.first.hidden = !on.length;
  b.el.replaceChildren(b.first, ...shown);
};
const rest = () => { const n = bodies.reduce((sum, b) => sum + b.rest, 0); more.hidden = !n; more.textContent = '+ ' + n; };
more.onclick = () => { set('all', '1'); bodies.forEach(show); rest(); say(); };
heads.forEach((h, c) => {
  const button = h.querySelector('button');
  button.disabled = false;
  button.onclick = () => {
    const [name, way] = (state.get('sort') || '').split('~');
    const number = h.classList.contains('num'), order = number ? ['down', 'up'] : ['up', 'down'];
    const next = name !== names[c] ? order[0] : way === order[0] ? order[1] : '';
    set('sort', next && names[c] + '~' + next);
    sort();
    rest();
    say();
  };
});

// Search and filters.
const live = $('live'), word = live.textContent.replace(/^[\d\s/]*/, '');
const filters = {
  q: (r, v) => r.textContent.toLowerCase().includes(v.toLowerCase()),
  badge: (r, v) => r.dataset.b === v,
  protocol: (r, v) => r.cells[2].textContent === v,
  size: (r, v) => { const [low, high] = v.split('-').map(Number), s = +r.dataset.s; return s >= low && s < high; },
  licence: (r, v) => r.cells[3].textContent === v,
  language: (r, v) => (r.dataset.l || '').split(' ').includes(v),
  architecture: (r, v) => r.cells[4].textContent === v
};
const field = k => $(k === 'q' ? 'q' : 'f-' + k);
const say = () => {
  const h = table.querySelector('[aria-sort]');
  live.textContent = rows.filter(r => !r.off).length + ' / ' + rows.length + ' ' + word + (h ? ' · ' + h.querySelector('button').textContent + (h.getAttribute('aria-sort') === 'descending' ? ' ▼' : ' ▲') : '');
};
const filter = () => {
  const active = Object.keys(filters).map(k => [filters[k], state.get(k)]).filter(f => f[1]);
  for (const b of bodies) {
    for (const r of b.rows) r.off = !active.every(f => f[0](r, f[1]));
    show(b);
  }
  rest();
  say();
};
for (const k of Object.keys(filters)) {
  const el = field(k);
  el.value = state.get(k) || '';
  if (el.value !== (state.get(k) || '')) state.delete(k);
  el.oninput = () => { set(k, el.value); filter(); };
}
doc.querySelector('form').onsubmit = e => e.preventDefault();

// Columns.
const usual = 'licence,architecture';
const hide = () => {
  const off = (state.get('hide') ?? usual).split(',');
  names.forEach((n, c) => {
    const hidden = off.includes(n);
    if (heads[c].hidden === hidden) return;
    heads[c].hidden = hidden;
    for (const r of rows) r.cells[c].hidden = hidden;
  });
};
names.forEach((n, c) => {
  if (!c) return;
  const label = doc.createElement('label'), box = doc.createElement('input');
  box.type = 'checkbox';
  box.value = n;
  box.checked = !(state.get('hide') ?? usual).split(',').includes(n);
  box.onchange = () => {
    const off = [...$('columns').querySelectorAll('input')].filter(i => !i.checked).map(i => i.value).join(',');
    off === usual ? set('hide', '') : set('hide', off || ',');
    hide();
  };
  label.append(box, heads[c].querySelector('button').textContent);
  $('columns').append(label);
});
$('reset').onclick = () => {
  for (const k of [...Object.keys(filters), 'sort', 'hide', 'all']) state.delete(k);
  for (const k of Object.keys(filters)) field(k).value = '';
  for (const i of $('columns').querySelectorAll('input')) i.checked = !usual.split(',').includes(i.value);
  keep(); hide(); sort(); filter();
};

// Two models side by side.
const {m, s, d, t} = JSON.parse($('data').textContent), a = $('cmp-a'), b = $('cmp-b'), out = $('cmp');
// Couples of rows: then suite, difference, interval and p of each suite.
const couples = new Map(d.map(x => [x[0] + ' ' + x[1], x.slice(2)])), compared = new Set(d.flatMap(x => x.slice(0, 2)));
for (const el of [a, b]) m.forEach((x, i) => { if (compared.has(i)) el.add(new Option(x[0] + (x[1] ? ' (' + x[1] + ')' : ''), i)); });
const cell = (tag, text, cls) => { const el = doc.createElement(tag); el.textContent = text; if (cls) el.className = cls; if (tag === 'th') el.scope = 'col'; return el; };
const num = (v, digits, plus) => { const x = (v / 1e4).toFixed(digits); return (plus && v > 0 ? '+' : '') + x.replace('-', '−'); };
const compare = () => {
  const i = +a.value, j = +b.value, flip = i > j;
  out.replaceChildren();
  if (!a.options.length) return;
  if (i === j) { out.append(cell('p', t.same_model)); return; }
  const found = couples.get(flip ? j + ' ' + i : i + ' ' + j);
  if (!found) { out.append(cell('p', t.none_paired)); return; }
  const box = doc.createElement('div'), el = doc.createElement('table'), h = el.createTHead().insertRow(), body = el.createTBody();
  box.className = 'scroll';
  box.tabIndex = 0;
  box.setAttribute('role', 'group');
  box.setAttribute('aria-label', m[i][0] + ' − ' + m[j][0]);
  el.createCaption().textContent = m[i][0] + ' − ' + m[j][0];
  for (const [x, c] of [[t.suite], [t.delta, 'num'], [t.interval, 'num'], [t.p, 'num'], [t.verdict]]) h.append(cell('th', x, c));
  for (let at = 0; at < found.length; at += 5) {
    const x = found.slice(at, at + 5), [delta, low, high] = flip ? [-x[1], -x[3], -x[2]] : x.slice(1, 4), k = low > 0 ? 'gain' : high < 0 ? 'loss' : 'same', r = body.insertRow(), th = cell('th', s[x[0]]);
    th.scope = 'row';
    r.append(th, cell('td', num(delta, 4, true), 'num ' + k), cell('td', '[' + num(low, 3, true) + ', ' + num(high, 3, true) + ']', 'num'), cell('td', x[4] < 10 ? '<0.001' : num(x[4], 3), 'num'), cell('td', k === 'same' ? t.verdict_same : m[k === 'gain' ? i : j][0]));
  }
  box.append(el);
  out.append(box);
};
for (const [el, k, other] of [[a, 'a', 0], [b, 'b', 1]]) {
  el.selectedIndex = Math.min(other, el.options.length - 1);
  if (state.get(k)) el.value = state.get(k);
  if (el.selectedIndex < 0) el.selectedIndex = 0;
  el.onchange = () => { set(k, el.value); compare(); };
}
keep(); hide(); if (state.get('sort')) sort(); filter(); compare(); open();
})();
