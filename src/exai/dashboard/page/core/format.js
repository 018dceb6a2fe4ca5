// Figures as people read them. What is not known is a dash, and never a zero.
export const DASH = "–";

const WHOLE = new Intl.NumberFormat("en");

export const isKnown = (value) => value !== null && value !== undefined;

export const count = (value) => (isKnown(value) ? WHOLE.format(value) : DASH);

export function milliseconds(value) {
  if (!isKnown(value)) return DASH;
  if (value < 1) return `${value.toFixed(2)} ms`;
  if (value < 1000) return `${Math.round(value)} ms`;
  if (value < 60_000) return `${(value / 1000).toFixed(value < 10_000 ? 2 : 1)} s`;
  return seconds(value / 1000);
}

export function seconds(value) {
  if (!isKnown(value)) return DASH;
  if (value < 10) return `${Math.max(0, value).toFixed(1)} s`;
  const whole = Math.floor(value);
  const [days, hours, minutes] = [Math.floor(whole / 86_400), Math.floor(whole / 3600) % 24, Math.floor(whole / 60) % 60];
  if (days) return `${days} d ${hours} h`;
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min ${whole % 60} s` : `${whole} s`;
}

export function money(value) {
  if (!isKnown(value)) return DASH;
  return `$${value.toFixed(value !== 0 && Math.abs(value) < 1 ? 4 : 2)}`;
}

export function bytes(value) {
  if (!isKnown(value)) return DASH;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const power = value < 1024 ? 0 : Math.min(4, Math.floor(Math.log2(value) / 10));
  return `${(value / 1024 ** power).toFixed(power ? 1 : 0)} ${units[power]}`;
}

export const share = (value) => (isKnown(value) ? `${(100 * value).toFixed(1)} %` : DASH);

export const words = (name) => String(name).replaceAll("_", " ");

const STAGES = {
  caller_wait: "waits at its caller's limit",
  session_wait: "waits at its session's limit",
  global_sem_wait: "waits for a permit",
  provider_sem_wait: "waits for its model's permit",
  backoff: "pauses before a retry",
  store: "database",
};

/** A stage of a call as people call it; the journal has its own word. */
export const stageName = (name) => STAGES[name.replace(/_ms$/, "")] ?? words(name.replace(/_ms$/, ""));

const two = (value) => String(value).padStart(2, "0");

/** The time of day, with the date unless it is of today. */
export function time(text) {
  if (!text) return DASH;
  const at = new Date(text);
  const clock = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return at.toDateString() === new Date().toDateString() ? clock : `${day} ${clock}`;
}

/** How long ago a moment was, by the server's clock. */
export const secondsSince = (text, now) => Math.max(0, (now - Date.parse(text)) / 1000);
