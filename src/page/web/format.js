// Numbers for people, each with its unit.

function scaled(value, step, units) {
  let index = 0;
  while (Math.abs(value) >= step && index < units.length - 1) {
    value /= step;
    index++;
  }
  const digits = value >= 100 || (index === 0 && Number.isInteger(value)) ? 0 : value >= 10 ? 1 : 2;
  return `${value.toFixed(digits)} ${units[index]}`;
}

export const bits = (bytesASecond) =>
  scaled(bytesASecond * 8, 1000, ["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"]);
export const bytes = (value) => scaled(value, 1024, ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]);
export const count = (value) => Number(value).toLocaleString("en").replaceAll(",", "\u202f");
// 1 port, 2 ports.
export const some = (value, what) => `${count(value)} ${what}${value === 1 ? "" : "s"}`;
export const percent = (value) => `${value < 10 ? value.toFixed(1) : value.toFixed(0)} %`;

// 1234 is 1.23 k, with what is counted behind it.
export function rate(value, what) {
  const shown = scaled(value, 1000, ["", "k", "M", "G"]).trim();
  return `${shown} ${what}/s`;
}

export function duration(seconds) {
  const whole = Math.floor(seconds);
  const days = Math.floor(whole / 86400);
  const hours = Math.floor(whole / 3600) % 24;
  const minutes = Math.floor(whole / 60) % 60;
  if (days) return `${days} d ${hours} h`;
  if (hours) return `${hours} h ${minutes} min`;
  if (minutes) return `${minutes} min ${whole % 60} s`;
  return `${whole} s`;
}

// A round number that is not below: the top of an axis.
export function round(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  for (const step of [1, 2, 5]) if (value <= step * power) return step * power;
  return 10 * power;
}

// An object as YAML-like lines, as `sluice get -o yaml` has it.
export function lines(value, indent = "") {
  if (Array.isArray(value)) {
    if (!value.length) return `${indent}[]\n`;
    return value.map((item) => typeof item === "object" && item !== null
      ? `${indent}- ${lines(item, `${indent}  `).trimStart()}` : `${indent}- ${item}\n`).join("");
  }
  return Object.entries(value).map(([key, item]) => {
    if (typeof item !== "object" || item === null) return `${indent}${key}: ${item}\n`;
    return `${indent}${key}:\n${lines(item, `${indent}  `)}`;
  }).join("");
}

export const endpoint = (address, port) => (port === null ? address
  : address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`);
