import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;

/** The books, and how many copies of each there are. */
public class Catalog {
    public record Book(String isbn, String title, String author) {}

    private final Map<String, Book> books = new LinkedHashMap<>();
    private final Map<String, Integer> copies = new LinkedHashMap<>();

    public void add(Book book, int count) {
        if (count < 1) {
            throw new IllegalArgumentException("at least one copy");
        }
        books.putIfAbsent(book.isbn(), book);
        copies.merge(book.isbn(), count, Integer::sum);
    }

    public Optional<Book> find(String isbn) {
        return Optional.ofNullable(books.get(isbn));
    }

    public int copiesOf(String isbn) {
        return copies.getOrDefault(isbn, 0);
    }

    /** Books whose title or author holds the words, by title. */
    public List<Book> search(String words) {
        String wanted = words.strip().toLowerCase(Locale.ROOT);
        if (wanted.isEmpty()) {
            return List.of();
        }
        List<Book> found = new ArrayList<>();
        for (Book book : books.values()) {
            if ((book.title() + " " + book.author()).toLowerCase(Locale.ROOT).contains(wanted)) {
                found.add(book);
            }
        }
        found.sort(Comparator.comparing(Book::title));
        return found;
    }
}
