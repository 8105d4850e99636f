"""chat_model.py FOLDER: tests/golden/tiny with a tokenizer of bytes, the ChatML template and room for long answers."""
import json, os, shutil, sys

CHATML = ("{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + "
          "'\\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")
SPLIT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def make(folder):
    shutil.copytree("tests/golden/tiny", folder)
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    other = [b for b in range(256) if b not in printable]
    letters = [chr(b) if b in printable else chr(256 + other.index(b)) for b in range(256)]
    vocab = {c: i for i, c in enumerate(letters)}
    vocab.update({"#%d" % i: i for i in range(258, 512)})  # without merges: answers have them, prompts do not
    special = [{"id": 256 + i, "content": text, "single_word": False, "lstrip": False, "rstrip": False,
                "normalized": False, "special": True} for i, text in enumerate(["<|im_start|>", "<|im_end|>"])]
    bytes_only = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    tokenizer = {"version": "1.0", "added_tokens": special, "normalizer": {"type": "NFC"},
                 "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                     {"type": "Split", "pattern": {"Regex": SPLIT}, "behavior": "Isolated", "invert": False}, bytes_only]},
                 "decoder": bytes_only,
                 "model": {"type": "BPE", "vocab": vocab, "merges": []}}
    with open(os.path.join(folder, "config.json")) as f:
        model = json.load(f)
    model["max_position_embeddings"] = 1 << 17
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>", "chat_template": CHATML}
    for name, value in (("tokenizer.json", tokenizer), ("tokenizer_config.json", config), ("config.json", model)):
        with open(os.path.join(folder, name), "w") as f:
            json.dump(value, f)


if __name__ == "__main__":
    make(sys.argv[1])
