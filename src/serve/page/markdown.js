// markdown.js: Markdown that arrives piece by piece, as elements. Whole lines are final: they are read once. Only the
// last, unfinished line is drawn anew with each push, by taking back what it added; a line that grows very long is plain
// text from then on. So the work of an answer is linear in its length, whatever it holds.
import {el, copyText, iconButton} from "./dom.js";
import {inline} from "./inline.js";

const LONG_LINE = 6000;   // characters of an unfinished line that are drawn anew
const PART = 3000;        // characters of a paragraph that are formatted together
const MOST_NESTED = 12;       // lists and quotes in one another

function codeBlock(language) {
    const code = el("code");
    const copy = iconButton("copy", "Copy the code", () => copyText(code.textContent, copy));
    const block = el("div", {class: "code", dir: "ltr"},
        el("div", {class: "code-head"}, el("span", null, language || "text"), copy),
        el("pre", {tabindex: "0", "aria-label": "Code" + (language ? " in " + language : "")}, code));
    return {block, code};
}

const cells = (line) => line.trim().replace(/^\||\|$/g, "").split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));
const isRule = (line) => /^ {0,3}([-*_])( *\1){2,} *$/.test(line);
const isTableLine = (line) => /^ *\|?( *:?-+:? *\|)+( *:?-+:? *)?$/.test(line);

export class Markdown {
    constructor(root) {
        this.root = root;
        this.rest = "";     // of the last line, which is drawn but not final
        this.fence = null;  // {mark, indent, code, text (its last node), size (characters of that), empty}: in a code block
        this.stack = [];    // open lists and quotes: {tag, indent, node (where blocks go)}
        this.paragraph = null; // {root, node, text}: node is the last part of root that is formatted together
        this.long = null;   // appends what a very long line goes on with
        this.table = null;  // {body, columns}
        this.dirty = null;  // the paragraph whose text is not drawn yet
        this.undo = null;   // what takes the unfinished line back
    }

    push(text) {
        if (this.long) {
            const end = text.indexOf("\n");
            this.long(end < 0 ? text : text.slice(0, end));
            if (end < 0) return;
            this.long = null;
            text = text.slice(end + 1);
        }
        this.takeBack();
        const lines = (this.rest + text).split("\n");
        this.rest = lines.pop();
        for (const line of lines) this.line(line.endsWith("\r") ? line.slice(0, -1) : line);
        if (this.rest.length > LONG_LINE) this.goOn();
        else if (this.rest) this.provisional(this.rest);
        this.draw();
    }

    draw() {
        if (this.dirty) this.dirty.node.replaceChildren(...inline(this.dirty.text));
        this.dirty = null;
    }

    // A long unfinished line becomes final as it is; what follows in it is appended as text.
    goOn() {
        this.line(this.rest);
        this.rest = "";
        this.draw();
        const root = this.paragraph ? this.paragraph.root : this.place;
        this.long = this.fence ? (text) => this.appendCode(text) : (text) => root.append(text);
        this.paragraph = this.table = null;
    }

    end() {
        this.takeBack();
        if (this.rest) this.line(this.rest);
        this.rest = "";
        this.draw();
    }

    // Draws an unfinished line, and remembers how things were before.
    provisional(line) {
        if (this.fence) {
            if (/^ *[`~]*$/.test(line) && line.trim()) return; // may become the closing fence
            const before = {...this.fence};
            this.appendCode((before.empty ? "" : "\n") + line);
            const after = this.fence;
            this.undo = () => {
                if (after.text !== before.text) after.text.remove();
                else if (before.text) before.text.deleteData(before.size, after.size - before.size);
                this.fence = before;
            };
            return;
        }
        if (/^ {0,3}(`{1,}|~{1,})[^`]*$/.test(line) && /^ {0,3}(`|~)/.test(line) && line.length < 24) return;
        const before = {stack: [...this.stack], paragraph: this.paragraph && {...this.paragraph}, table: this.table, fence: null};
        this.made = [];
        this.line(line);
        const made = this.made;
        this.made = null;
        this.undo = () => {
            for (const node of made.reverse()) node.remove();
            Object.assign(this, before);
            this.draw();
            this.dirty = this.paragraph;
        };
    }

    takeBack() {
        if (this.undo) this.undo();
        this.undo = null;
    }

    get place() {
        return this.stack.length ? this.stack[this.stack.length - 1].node : this.root;
    }

    add(node, parent = this.place) {
        parent.append(node);
        if (this.made) this.made.push(node);
        return node;
    }

    line(line) {
        if (this.fence) return this.fenced(line);
        line = line.replaceAll("\t", "    ");
        if (!line.trim()) {
            this.paragraph = this.table = null;
            if (this.stack.some((level) => level.tag === "blockquote")) this.stack = [];
            return;
        }
        line = this.containers(line);
        const fence = /^( {0,3})(`{3,}|~{3,}) *([^`]*)$/.exec(line);
        if (fence) {
            const {block, code} = codeBlock(fence[3].trim().split(/\s/, 1)[0].slice(0, 30));
            this.add(block);
            this.paragraph = this.table = null;
            this.fence = {mark: fence[2], indent: fence[1].length + this.depth(), code, text: null, size: 0, empty: true};
            return;
        }
        const heading = /^ {0,3}(#{1,6})(?: +(.*?))?(?: +#+)? *$/.exec(line);
        if (heading) {
            this.paragraph = this.table = null;
            // The page has an h1 and each message an h2 of its own.
            this.add(el("h" + Math.min(6, heading[1].length + 2), null, ...inline(heading[2] || "")));
        } else if (isRule(line)) {
            this.paragraph = this.table = null;
            this.add(el("hr"));
        } else if (!this.tableLine(line)) this.text(line);
    }

    fenced(line) {
        const {mark, indent} = this.fence;
        const close = /^ *(`{3,}|~{3,}) *$/.exec(line);
        if (close && close[1][0] === mark[0] && close[1].length >= mark.length) this.fence = null;
        else {
            this.appendCode((this.fence.empty ? "" : "\n") + line.slice(Math.min(indent, line.length - line.trimStart().length)));
            this.fence.empty = false;
        }
    }

    // Text nodes of some thousand characters: to append to a longer one copies it.
    appendCode(text) {
        const fence = this.fence;
        if (!fence.text || fence.size > 4000) {
            fence.code.append(text);
            fence.text = fence.code.lastChild;
            fence.size = text.length;
        } else {
            fence.text.appendData(text);
            fence.size += text.length;
        }
    }

    depth() {
        const list = this.stack.filter((level) => level.tag !== "blockquote").pop();
        return list ? list.inner : 0;
    }

    // Enters and leaves quotes and lists; gives what is left of the line.
    containers(line) {
        const quotes = /^( {0,3}> ?)+/.exec(line);
        const wanted = quotes ? quotes[0].split(">").length - 1 : 0;
        const open = this.stack.filter((level) => level.tag === "blockquote").length;
        if (wanted !== open && (wanted > 0 || !this.paragraph)) {
            this.stack = [];
            this.paragraph = this.table = null;
            for (let i = 0; i < Math.min(wanted, MOST_NESTED); i++) this.enter("blockquote", el("blockquote"), 0, 0);
        }
        if (quotes) line = line.slice(quotes[0].length);
        for (;;) {
            const item = /^( *)([-*+]|\d{1,9}[.)])( +)(?=\S)/.exec(line);
            const indent = line.length - line.trimStart().length;
            if (!item || isRule(line)) {
                // A line that is not indented ends the lists, unless it continues a paragraph.
                if (!this.paragraph || /^ *(#{1,6} |```|~~~)/.test(line) || isRule(line)) {
                    while (this.stack.length && this.top.tag !== "blockquote" && indent < this.top.inner) this.leave();
                }
                return this.stack.length && this.top.tag !== "blockquote" ? line.slice(Math.min(indent, this.top.inner)) : line;
            }
            this.item(item[1].length, item[2], item[0].length);
            line = line.slice(item[0].length);
            if (!/^([-*+]|\d{1,9}[.)]) /.test(line)) return line;
            line = " ".repeat(this.top.inner) + line; // a list in a list on one line
        }
    }

    get top() { return this.stack[this.stack.length - 1]; }

    enter(tag, node, indent, inner) {
        this.add(node);
        this.stack.push({tag, list: node, node, indent, inner});
    }

    leave() {
        this.stack.pop();
        this.paragraph = this.table = null;
    }

    item(indent, mark, inner) {
        const tag = /\d/.test(mark) ? "ol" : "ul";
        this.paragraph = this.table = null;
        while (this.stack.length && this.top.tag !== "blockquote" && indent < this.top.indent) this.leave();
        if (this.stack.length && this.top.tag !== "blockquote" && indent < this.top.inner && this.top.tag !== tag) this.leave();
        const same = this.stack.length && this.top.tag === tag && indent < this.top.inner;
        if (!same && this.stack.length < MOST_NESTED) {
            this.enter(tag, el(tag, tag === "ol" && parseInt(mark, 10) !== 1 ? {start: String(parseInt(mark, 10))} : null), indent, inner);
        } else if (this.top && this.top.list) {
            this.stack[this.stack.length - 1] = {...this.top, indent: Math.min(indent, this.top.indent), inner};
        }
        const node = this.add(el("li"), this.top.list);
        this.stack[this.stack.length - 1] = {...this.top, node};
    }

    tableLine(line) {
        if (this.table) {
            if (!line.includes("|")) { this.table = null; return false; }
            this.add(this.row("td", cells(line)), this.table.body);
            return true;
        }
        const p = this.paragraph;
        if (!p || !isTableLine(line) || p.text.includes("\n") || !p.text.includes("|")) return false;
        const head = cells(p.text), aligned = cells(line);
        if (head.length !== aligned.length) return false;
        const align = aligned.map((cell) => (cell.endsWith(":") ? (cell.startsWith(":") ? "center" : "end") : ""));
        this.table = {columns: head.length, align, body: el("tbody")};
        const table = el("div", {class: "table", tabindex: "0", role: "region", "aria-label": "Table"},
            el("table", null, el("thead", null, this.row("th", head)), this.table.body));
        if (this.made) this.made.push(table);
        if (this.dirty === p) this.dirty = null;
        p.node.replaceChildren();
        p.root.after(table);
        this.paragraph = null;
        return true;
    }

    row(tag, texts) {
        const {columns, align} = this.table;
        return el("tr", null, ...Array.from({length: columns}, (_, i) =>
            el(tag, {class: align[i] || null}, ...inline(texts[i] || ""))));
    }

    text(line) {
        this.table = null;
        const open = this.paragraph;
        if (!open) {
            // The first text of an item stands in it, without a paragraph's space.
            const bare = this.place.tagName === "LI" && !this.place.hasChildNodes();
            const node = this.add(el(bare ? "span" : "p"));
            this.paragraph = {root: node, node, text: line.trimStart()};
        } else if (open.text.length > PART) {
            this.paragraph = {root: open.root, node: this.add(el("span"), open.root), text: "\n" + line.trimStart()};
        } else open.text += "\n" + line.trimStart();
        if (this.dirty !== this.paragraph) this.draw();
        this.dirty = this.paragraph;
    }
}

// A whole text at once.
export function renderMarkdown(root, text) {
    const markdown = new Markdown(root);
    markdown.push(text);
    markdown.end();
}
