// What this browser remembers: the settings of each tab, and what each result was made of.
const hvaeSr = (() => {
  const link = new URLSearchParams(location.search);
  const asked = {}, answered = {};
  const written = (values) => JSON.stringify(values, (_, value) => value?.path ?? value);
  const kept = (tab) => {
    try {
      return JSON.parse(localStorage.getItem(`hvae-sr:${tab}`)) ?? {};
    } catch {  // none is kept, or the browser keeps nothing for anybody
      return {};
    }
  };
  const fits = (value, { choices, several, least, most, type }) => {
    if (choices)
      return Array.isArray(value) === several && [value].flat().every((v) => choices.includes(v));
    if (type) return typeof value === type;
    return Number.isFinite(value) && value >= least && value <= most;
  };
  return {
    seen: (visible) => ({ __type__: "update", visible }),
    // Of an action: its inputs are sent; they made the result; the result is of other inputs.
    asks: (action, values) => { asked[action] = written(values); return false; },
    answers: (action) => { answered[action] = asked[action]; },
    isOld: (action, values) => action in answered && answered[action] !== written(values),
    keep: (tab, names, values) => {
      const settings = Object.fromEntries(names.map((name, place) => [name, values[place]]));
      try {
        localStorage.setItem(`hvae-sr:${tab}`, JSON.stringify(settings));
      } catch { /* the browser keeps nothing */ }
    },
    // Updates of a tab's settings: those of the link, else those that were kept, where they fit.
    restored: (tab, rules) => {
      const settings = kept(tab);
      if (link.has("model") && (link.get("tab") ?? tab) === tab)
        Object.assign(settings, { model: link.get("model"), models: link.getAll("model") });
      return Object.entries(rules).map(([name, rule]) => fits(settings[name], rule)
        ? { __type__: "update", value: settings[name] } : { __type__: "update" });
    },
    tab: (known) => known.includes(link.get("tab"))
      ? { __type__: "update", selected: link.get("tab") } : { __type__: "update" },
    opened: (tab) => {
      const address = new URL(location);
      address.searchParams.set("tab", tab);
      if (link.get("tab") !== tab) address.searchParams.delete("model");
      history.replaceState(history.state, "", address);
    },
  };
})();
