import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;

/**
 * Writes records of every kind with every codec, and reads a topic as bytes: {@code Envelopes BOOTSTRAP TOPIC}. The
 * codecs none, gzip, snappy, lz4 and zstd go to partitions 0 to 4. Then prints all records of the topic in kcat's
 * envelope (without the broker); what is no UTF-8 is base64, as steadfast writes it.
 */
public final class Envelopes {
    private static final List<String> CODECS = List.of("none", "gzip", "snappy", "lz4", "zstd");
    private static final byte[] NO_TEXT = {(byte) 0xff, 0x00, (byte) 0xc3, 0x28};

    private Envelopes() {}

    public static void main(String[] arguments) throws Exception {
        Lines.obey(command -> {});
        for (String codec : CODECS) {
            write(arguments[0], arguments[1], CODECS.indexOf(codec), codec);
        }
        read(arguments[0], arguments[1]);
    }

    private static void write(String bootstrap, String topic, int partition, String codec) throws Exception {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("compression.type", codec);
        settings.put("linger.ms", "1000");
        settings.put("batch.size", "100000");
        settings.put("key.serializer", "org.apache.kafka.common.serialization.ByteArraySerializer");
        settings.put("value.serializer", "org.apache.kafka.common.serialization.ByteArraySerializer");
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(settings)) {
            List<Header> headers = List.of(
                    new RecordHeader("again", bytes("one")),
                    new RecordHeader("null", (byte[]) null),
                    new RecordHeader("again", bytes("two")),
                    new RecordHeader("empty", new byte[0]),
                    new RecordHeader("ключ", NO_TEXT));
            producer.send(new ProducerRecord<>(topic, partition, bytes("key"), bytes("value"), headers));
            producer.send(new ProducerRecord<>(topic, partition, null, null));
            producer.send(new ProducerRecord<>(topic, partition, new byte[0], new byte[0]));
            producer.send(new ProducerRecord<>(topic, partition, NO_TEXT, NO_TEXT));
            producer.send(new ProducerRecord<>(topic, partition, bytes("ключ \uD83E\uDD80"), bytes("\u0001\n\t\"\\/")));
            producer.send(new ProducerRecord<>(topic, partition, 1L, bytes("old"), bytes("old")));
            for (int i = 0; i < 300; i++) {
                producer.send(new ProducerRecord<>(topic, partition, bytes("key-" + i % 7), bytes("value-" + i)));
            }
        }
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private static void read(String bootstrap, String topic) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("enable.auto.commit", "false");
        settings.put("key.deserializer", "org.apache.kafka.common.serialization.ByteArrayDeserializer");
        settings.put("value.deserializer", "org.apache.kafka.common.serialization.ByteArrayDeserializer");
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(settings)) {
            List<TopicPartition> partitions = consumer.partitionsFor(topic).stream()
                    .map(info -> new TopicPartition(info.topic(), info.partition()))
                    .toList();
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
            while (partitions.stream().anyMatch(partition -> consumer.position(partition) < ends.get(partition))) {
                consumer.poll(Duration.ofMillis(100)).forEach(Envelopes::print);
            }
        }
    }

    private static void print(ConsumerRecord<byte[], byte[]> record) {
        List<Object> headers = new ArrayList<>();
        for (Header header : record.headers()) {
            headers.add(header.key());
            Object value = text(header.value());
            headers.add(header.value() != null && value == null ? Map.of("base64", base64(header.value())) : value);
        }
        List<Object> envelope = new ArrayList<>(List.of(
                "topic", record.topic(), "partition", record.partition(), "offset", record.offset(),
                "tstype", record.timestampType().toString().equals("LogAppendTime") ? "logappend" : "create",
                "ts", record.timestamp(), "headers", headers));
        add(envelope, "key", record.key());
        add(envelope, "payload", record.value());
        Lines.print(envelope.toArray());
    }

    private static void add(List<Object> envelope, String name, byte[] bytes) {
        String text = text(bytes);
        boolean isText = bytes == null || text != null;
        envelope.add(isText ? name : name + "_base64");
        envelope.add(isText ? text : base64(bytes));
    }

    private static String base64(byte[] bytes) {
        return Base64.getEncoder().encodeToString(bytes);
    }

    /** The text, or null for null and for what is none. */
    private static String text(byte[] bytes) {
        try {
            return bytes == null ? null : StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes)).toString();
        } catch (CharacterCodingException noText) {
            return null;
        }
    }
}
