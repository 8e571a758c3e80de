import java.time.Duration;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;

/**
 * A member of a group as most are: {@code PlainConsumer BOOTSTRAP GROUP TOPIC [SETTING=VALUE...]}. Everything is at its
 * default, auto-commit too, except that it begins at the topic's beginning. Prints each record.
 */
public final class PlainConsumer {
    private PlainConsumer() {}

    public static void main(String[] arguments) {
        Lines.obey(command -> {});
        Properties settings = new Properties();
        settings.put("bootstrap.servers", arguments[0]);
        settings.put("group.id", arguments[1]);
        settings.put("auto.offset.reset", "earliest");
        settings.put("key.deserializer", "org.apache.kafka.common.serialization.StringDeserializer");
        settings.put("value.deserializer", "org.apache.kafka.common.serialization.StringDeserializer");
        for (int i = 3; i < arguments.length; i++) {
            String[] setting = arguments[i].split("=", 2);
            settings.put(setting[0], setting[1]);
        }
        try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(settings)) {
            consumer.subscribe(List.of(arguments[2]));
            while (true) {
                for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(100))) {
                    Lines.print("offset", record.offset(), "value", record.value());
                }
            }
        }
    }
}
