"""The torch layer: the residual-quantized autoencoder and its parts as modules."""

from sklearn_rqvae.nn._decoder import Decoder
from sklearn_rqvae.nn._encoder import Encoder
from sklearn_rqvae.nn._interaction import InteractionDecoder
from sklearn_rqvae.nn._modes import QuantizeForwardMode
from sklearn_rqvae.nn._residual_quantizer import Quantization, ResidualQuantizer
from sklearn_rqvae.nn._rqvae import RqVae, RqVaeOutput

__all__ = [
    "Decoder",
    "Encoder",
    "InteractionDecoder",
    "Quantization",
    "QuantizeForwardMode",
    "ResidualQuantizer",
    "RqVae",
    "RqVaeOutput",
]
