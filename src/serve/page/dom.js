// dom.js: elements made by createElement and text nodes alone; icons, toasts, menus, what a screen reader is told.

// el("button", {class: "quiet", onclick: f, "aria-label": "..."}, "text", child): null children are left out.
export function el(tag, attributes, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
        if (value === null || value === undefined || value === false) continue;
        if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
        else if (name in node && typeof value === "boolean") node[name] = value;
        else node.setAttribute(name, value === true ? "" : value);
    }
    for (const child of children) {
        if (child !== null && child !== undefined && child !== false) node.append(child);
    }
    return node;
}

export const byId = (id) => document.getElementById(id);

// Icons of 24 x 24, lines of 1.8: our own drawings, as path data.
const ICONS = {
    menu: "M4 7h16M4 12h16M4 17h10",
    close: "M6 6l12 12M18 6L6 18",
    sliders: "M4 8h9M19 8h1M4 16h3M13 16h7M16 5.5v5M10 13.5v5",
    send: "M12 19V5M5.5 11.5L12 5l6.5 6.5",
    stop: "M7 7h10v10H7z",
    down: "M12 5v14M5.5 12.5L12 19l6.5-6.5",
    share: "M12 15V4M7.5 8L12 3.5 16.5 8M5 13v6h14v-6",
    copy: "M9 9h10v10H9zM5 15V5h10",
    edit: "M4 20l1-4L16 5l3 3L8 19zM13.5 7.5l3 3",
    again: "M19 12a7 7 0 1 1-2-5M19 3v5h-5",
    left: "M14.5 6L8.5 12l6 6",
    right: "M9.5 6l6 6-6 6",
    trash: "M5 7h14M10 7V4.5h4V7M7 7l1 13h8l1-13",
    check: "M5 12.5l4.5 4.5L19 7.5",
    equal: "M5 9h14M5 15h14",
    more: "M5 12h.01M12 12h.01M19 12h.01",
    chart: "M5 20v-6M10 20V9M15 20v-9M20 20V4",
};

export function icon(name) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", "0 0 24 24");
    svg.setAttribute("aria-hidden", "true");
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("d", ICONS[name]);
    svg.append(path);
    return svg;
}

export function iconButton(name, label, onclick, attributes) {
    return el("button", {type: "button", class: "icon", "aria-label": label, title: label, onclick, ...attributes}, icon(name));
}

// Said once by a screen reader, seen by nobody.
export function announce(text) {
    const place = byId("announce");
    place.textContent = "";
    requestAnimationFrame(() => { place.textContent = text; });
}

// A message that goes away; with an action it stays longer.
export function toast(text, action, onaction) {
    const finish = () => { clearTimeout(timer); box.remove(); };
    const button = action && el("button", {type: "button", onclick: () => { finish(); onaction(); }}, action);
    const box = el("div", {class: "toast", role: "status"}, el("span", null, text), button,
        iconButton("close", "Dismiss", finish));
    const timer = setTimeout(finish, action ? 9000 : 5000);
    byId("toasts").append(box);
}

// A menu under a button: [[label, action], ...]. Arrow keys move, Esc closes and gives the focus back.
export function openMenu(button, items) {
    if (button.getAttribute("aria-expanded") === "true") return;
    const close = () => {
        menu.remove();
        button.setAttribute("aria-expanded", "false");
        document.removeEventListener("pointerdown", outside, true);
    };
    const outside = (event) => { if (!menu.contains(event.target)) close(); };
    const menu = el("div", {class: "menu", role: "menu"}, ...items.map(([label, action]) =>
        el("button", {type: "button", role: "menuitem", onclick: () => { close(); button.focus(); action(); }}, label)));
    menu.addEventListener("keydown", (event) => {
        const list = [...menu.children];
        const at = list.indexOf(document.activeElement);
        if (event.key === "Escape") { close(); button.focus(); event.stopPropagation(); }
        else if (event.key === "ArrowDown") list[(at + 1) % list.length].focus();
        else if (event.key === "ArrowUp") list[(at + list.length - 1) % list.length].focus();
        else if (event.key === "Tab") close();
        else return;
        if (event.key !== "Tab") event.preventDefault();
    });
    button.setAttribute("aria-expanded", "true");
    button.after(menu);
    const edge = button.getBoundingClientRect();
    menu.style.setProperty("top", Math.min(edge.bottom + 6, innerHeight - menu.offsetHeight - 8) + "px");
    menu.style.setProperty("left", Math.max(8, Math.min(edge.right - menu.offsetWidth, innerWidth - menu.offsetWidth - 8)) + "px");
    document.addEventListener("pointerdown", outside, true);
    menu.firstChild.focus();
}

export async function copyText(text, button) {
    try {
        await navigator.clipboard.writeText(text);
    } catch {
        const area = el("textarea", {class: "hidden"}); // where the page is not a secure context
        area.value = text;
        document.body.append(area);
        area.select();
        document.execCommand("copy");
        area.remove();
        button.focus();
    }
    button.replaceChildren(icon("check"));
    announce("Copied");
    setTimeout(() => button.replaceChildren(icon("copy")), 1500);
}

export function download(name, type, text) {
    const url = URL.createObjectURL(new Blob([text], {type}));
    const link = el("a", {href: url, download: name});
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
}

export function dateOf(time) {
    const date = new Date(time);
    const days = Math.floor((new Date().setHours(0, 0, 0, 0) - new Date(time).setHours(0, 0, 0, 0)) / 86400000);
    if (days === 0) return date.toLocaleTimeString([], {hour: "2-digit", minute: "2-digit"});
    if (days === 1) return "Yesterday";
    return date.toLocaleDateString([], {year: days > 300 ? "numeric" : undefined, month: "short", day: "numeric"});
}
