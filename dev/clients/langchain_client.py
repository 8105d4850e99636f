"""langchain-openai against the server: chat, stream, tools, structured output, embeddings."""
import os
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAI, OpenAIEmbeddings
from pydantic import BaseModel, Field

URL = os.environ["URL"] + "/v1"
llm = ChatOpenAI(model="smol", base_url=URL, api_key="none", temperature=0, max_tokens=60, max_retries=0, stream_usage=True)
a = llm.invoke("Say hello.")
assert a.content and a.usage_metadata["output_tokens"] > 0, a
chunks = list(llm.stream("Say hello."))
assert "".join(c.content for c in chunks) == a.content
assert [c.usage_metadata for c in chunks if c.usage_metadata][-1]["output_tokens"] == a.usage_metadata["output_tokens"]


@tool
def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


m = llm.bind_tools([multiply], tool_choice="required", parallel_tool_calls=False).invoke("What is 3 times 4?")
assert m.tool_calls[0]["name"] == "multiply" and set(m.tool_calls[0]["args"]) == {"a", "b"}, m


class Animal(BaseModel):
    """An animal."""
    name: str = Field(max_length=12)
    legs: int = Field(ge=0, le=8)


for method in ("json_schema", "function_calling"):
    got = llm.with_structured_output(Animal, method=method).invoke("Describe a cat.")
    assert isinstance(got, Animal), got
assert OpenAI(model="smol", base_url=URL, api_key="none", max_tokens=4, temperature=0).invoke("1 2 3")
vectors = OpenAIEmbeddings(model="smol", base_url=URL, api_key="none", check_embedding_ctx_length=False)
assert len(vectors.embed_query("hello")) == 576 and len(vectors.embed_documents(["a", "b", "c"])) == 3
print("langchain-openai: chat, stream, tools, structured output, completion, embeddings")
