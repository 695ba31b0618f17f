'use strict';
// Optional: each page works without this script. All words come from the page's data attributes.
(() => {
  const $ = (query, from = document) => from.querySelector(query);
  const $$ = (query, from = document) => [...from.querySelectorAll(query)];
  const root = document.documentElement, main = $('#main');
  const word = (name, n) => main.dataset[name].replace('{n}', n);
  const focusable = 'a[href], button, input, summary';
  const typing = 'textarea, select, input:not([type=checkbox], [type=radio])';
  const on = (type, listen) => document.addEventListener(type, listen);

  // Relative times follow the server's clock.
  let ahead = Date.parse(root.dataset.now) - Date.now() || 0;
  const units = main.dataset.units.split('|'), lengths = [86400, 3600, 60, 1];
  function relative() {
    for (const time of $$('time[data-relative]')) {
      const seconds = Math.floor(Math.abs(Date.now() + ahead - Date.parse(time.dateTime)) / 1000);
      const i = Math.max(lengths.findIndex(length => seconds >= length), 0) || (seconds < 86400 ? 3 : 0);
      const of = (unit, n) => units[unit].replace('{n}', n);
      const rest = i < 3 ? Math.floor(seconds % lengths[i] / lengths[i + 1]) : 0;
      const text = of(i, Math.floor(seconds / lengths[i])) + (rest ? ' ' + of(i + 1, rest) : '');
      if (time.textContent !== text) time.textContent = text;
    }
  }

  // Announces at most every 30 seconds.
  let said = 0;
  function say(text, now) {
    if (!now && Date.now() - said < 30000) return;
    said = Date.now();
    $('#say').textContent = text;
  }

  // The HTML that the server sent last.
  const sent = new WeakMap();
  const remember = from => $$('[data-live], [data-key]', from).forEach(e => sent.set(e, e.innerHTML));

  // Replaces what is in an element, and keeps ticks, open details and focus.
  function replace(old, next) {
    const html = next.innerHTML, active = document.activeElement, focus = old.contains(active) && active;
    if (sent.get(old) === html || focus && focus.matches(typing)) return;
    const ticks = new Map($$('input[name]', old).map(i => [i.name + '=' + i.value, i.checked]));
    const details = new Map($$('details[id]', old).map(d => [d.id, d.open]));
    const place = $$(focusable, old).indexOf(focus);
    sent.set(old, html);
    old.replaceChildren(...next.childNodes);
    for (const i of $$('input[name]', old)) i.checked = ticks.get(i.name + '=' + i.value) ?? i.checked;
    for (const d of $$('details[id]', old)) d.open = details.get(d.id) ?? d.open;
    if (place >= 0) {
      const all = $$(focusable, old);
      (all.find(e => e.outerHTML === focus.outerHTML) || all[place])?.focus({ preventScroll: true });
    }
  }

  const put = (box, row, after) => after ? after.after(row) : box.prepend(row);

  // data-live="rows": new rows wait behind a button, rows that left stay, greyed.
  // "append": new rows come at the end, none leaves. "keep": the list is always the server's.
  function merge(box, next) {
    const mode = box.dataset.live, mine = new Map(), waiting = [];
    for (const row of box.children) if (row.dataset.key) mine.set(row.dataset.key, row);
    const end = box.lastElementChild;
    const follow = mode === 'append' && end && end.getBoundingClientRect().bottom <= innerHeight;
    let last = null;
    for (const row of next ? [...next.children] : []) {
      const here = mine.get(row.dataset.key);
      if (here) {
        const current = here.classList.contains('cur');
        $('i', here)?.remove();
        replace(here, row);
        here.className = row.className;
        here.classList.toggle('cur', current);
        mine.delete(row.dataset.key);
        last = here;
      } else if (!row.classList.contains('left')) {
        sent.set(row, row.innerHTML);
        if (mode === 'rows') waiting.push([row, last]);
        else if (mode === 'append') box.append(row);
        else put(box, row, last);
        last = row;
      }
    }
    for (const row of mine.values()) {
      if (mode === 'keep') row.remove();
      else if (mode === 'rows' && !row.classList.contains('left')) {
        const note = document.createElement('i');
        note.textContent = ' ' + word('left');
        ($('.c-state', row) || row.firstElementChild).append(note);
        row.classList.add('left');
      }
    }
    if (follow && end !== box.lastElementChild) box.lastElementChild.scrollIntoView({ block: 'nearest' });
    if (mode === 'rows') offer(box, waiting);
  }

  function offer(box, waiting) {
    const place = $(`[data-fresh="${box.id}"]`);
    let button = place && $('button', place);
    if (!place || !waiting.length) return button && button.remove();
    if (!button) {
      place.append(button = document.createElement('button'));
      button.type = 'button';
    }
    const text = word('new', waiting.length);
    if (button.textContent !== text) {
      button.textContent = text;
      say(text);
    }
    button.onclick = () => {
      for (const [row, after] of waiting) put(box, row, after);
      button.remove();
      ready();
      $(focusable, waiting[0][0])?.focus();
    };
  }

  // Polling
  let every = main.dataset.every * 1000 || 0, wait = every, timer = 0;
  const cookie = 'relay_paused_' + location.port;
  let paused = document.cookie.split('; ').includes(cookie + '=1');
  const lost = $('#lost');
  async function poll(once) {
    clearTimeout(timer);
    if (!once && (!every || paused || document.hidden)) return;
    try {
      const left = $$('.left[data-key]').map(row => encodeURIComponent(row.dataset.key)).join();
      const answer = await fetch(location.href, {
        headers: { 'Relay-Poll': '1', 'Relay-Left': left },
        signal: AbortSignal.timeout(40000),
      });
      if (answer.redirected) return location.replace(answer.url);
      if (answer.status === 403) return location.reload();
      if (!answer.ok) throw answer.status;
      const next = new DOMParser().parseFromString(await answer.text(), 'text/html');
      if (!$('[data-live]', next)) return location.reload();
      if (paused && !once) return;
      ahead = Date.parse(next.documentElement.dataset.now) - Date.now() || 0;
      for (const box of $$('[data-live]')) {
        const fresh = next.getElementById(box.id);
        if (box.dataset.live !== 'all') merge(box, fresh);
        else if (fresh) replace(box, fresh);
      }
      document.title = next.title;
      const then = $('#main', next).dataset.every * 1000 || 0;
      if (every && !then) return location.reload();
      wait = every = then;
      lost.hidden = true;
      ready();
    } catch (error) {
      wait = Math.min(wait * 2, 60000);
      if (lost.hidden && isNaN(error)) {
        $('time', lost).textContent = $('#updated time').textContent;
        lost.hidden = false;
        say(lost.textContent, true);
      }
    }
    if (every) timer = setTimeout(poll, wait);
  }
  on('visibilitychange', () => document.hidden ? clearTimeout(timer) : poll());

  // The HTML hides what works only with this script.
  const pause = $('[data-pause]'), words = pause && [pause.textContent, pause.dataset.pause];
  function ready() {
    for (const e of $$('[data-copy], [data-all], [data-pause]')) e.hidden = e.dataset.copy && !navigator.clipboard;
    if (pause) pause.textContent = words[+paused];
    relative();
    count();
  }
  function count() {
    for (const e of $$('[data-count]')) {
      const boxes = $$(`[name="${e.dataset.count}"]`), n = boxes.filter(box => box.checked).length;
      e.textContent = e.dataset.text.replace('{n}', n);
      const all = $('[data-all]');
      if (all) all.checked = n > 0 && n === boxes.length;
    }
  }

  on('change', event => {
    const all = event.target.dataset.all;
    if (all) for (const box of $$(`[name="${all}"]`)) box.checked = event.target.checked;
    count();
  });

  on('click', async event => {
    const at = query => event.target.closest(query);
    const copy = at('[data-copy]'), summary = at('details[data-load] > summary');
    if (copy) {
      await navigator.clipboard.writeText(copy.dataset.copy);
      say(word('copied'), true);
      const text = copy.dataset.text ||= copy.textContent;
      copy.textContent = word('copied');
      setTimeout(() => copy.textContent = text, 2000);
    } else if (at('[data-pause]')) {
      paused = !paused;
      document.cookie = `${cookie}=${+paused}; Path=/; SameSite=Strict; Max-Age=${paused ? 86400 : 0}`;
      ready();
      poll();
    } else if (summary) {
      // The URL names the open payloads, so reloads and links keep them.
      const details = summary.parentNode, url = new URL(location.href), opens = !details.open;
      const query = url.searchParams, open = new Set(query.getAll('open'));
      open[opens ? 'add' : 'delete'](details.dataset.load);
      query.delete('open');
      for (const key of open) query.append('open', key);
      history.replaceState(null, '', url);
      if (opens && $('a[data-more]', details)) setTimeout(poll, 0, true);
    }
  });

  // Shortcuts
  on('keydown', event => {
    if (root.dataset.shortcuts === 'off' || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches(typing)) return;
    const rows = $$('tr[data-key]').filter(row => row.getClientRects().length);
    const now = rows.findIndex(row => row.classList.contains('cur'));
    if (event.key === '/') $('#find')?.focus();
    else if (event.key === 'j' || event.key === 'k') {
      const row = rows[Math.min(Math.max(now + (event.key === 'j' ? 1 : -1), 0), rows.length - 1)];
      if (!row) return;
      rows[now]?.classList.remove('cur');
      row.classList.add('cur');
      ($('a.row', row) || $(focusable, row))?.focus();
      row.scrollIntoView({ block: 'nearest' });
    } else if (event.key === 'x' && rows[now]) $('input[type=checkbox]', rows[now])?.click();
    else if (event.key === '?' && $('#help')) {
      $('#help').open = true;
      $('#help > summary').focus();
    } else return;
    event.preventDefault();
  });

  remember();
  ready();
  setInterval(() => document.hidden || relative(), 1000);
  if (every) timer = setTimeout(poll, wait);
})();
